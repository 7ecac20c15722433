// The page of a development server: one connection in the native protocol, and
// publishing over HTTP. What others wrote is only ever shown as text.
"use strict"

const $ = (id) => document.getElementById(id)
const shown = 200 // messages that are kept on the page
const channels = new Map() // name -> {state, after}
let dev, socket, heard = 0, tries = 0, asked = 0

const make = (tag, name, text) => {
  const e = document.createElement(tag)
  if (name) e.className = name
  if (text !== undefined) e.textContent = text
  return e
}

const setState = (state) => {
  $("state").textContent = state
  $("state").dataset.state = state
}

const send = (message) => {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
}

const address = () => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1`

async function load() {
  const answer = await fetch("/console/dev.json")
  if (!answer.ok) throw new Error(await answer.text())
  return answer.json()
}

async function connect() {
  setState("connecting")
  try {
    dev = await load() // each time: a restarted server has a new token
  } catch (e) {
    setState("disconnected")
    notice(e instanceof TypeError ? "the server does not answer" : e.message)
    return again()
  }
  $("app").textContent = dev.app
  $("address").textContent = address()
  writeCurl()
  socket = new WebSocket(`${address()}?token=${dev.token}`)
  socket.onmessage = (m) => receive(JSON.parse(m.data))
  socket.onclose = () => {
    setState("disconnected")
    $("connection").textContent = "–"
    for (const c of channels.values()) if (c.state === "subscribed") wait(c)
    draw()
    again()
  }
}

// again waits a little longer each time, up to five seconds.
function again() {
  setTimeout(connect, Math.min(5000, 250 * 2 ** tries++) * (0.75 + Math.random() / 2))
}

function receive(m) {
  switch (m.event) {
    case "hotsock.connected":
      tries = 0
      setState("connected")
      $("connection").textContent = m.data.connectionId
      for (const name of channels.keys()) subscribe(name)
      ping()
      break
    case "hotsock.subscribed":
      settle(m.channel, "subscribed")
      notice(m.data.recovered === false ? `${m.channel}: messages may have been missed while disconnected` : "")
      break
    case "hotsock.unsubscribed":
      break
    case "hotsock.pong":
      $("trip").textContent = `${(performance.now() - asked).toFixed(1)} ms`
      break
    case "hotsock.error":
      fail(m)
      break
    default:
      if (!m.event.startsWith("hotsock.")) show(m)
  }
}

function fail(m) {
  const c = channels.get(m.channel)
  if (c && c.state === "waiting") settle(m.channel, "bad")
  notice(`${m.channel ? m.channel + ": " : ""}${m.error.message ?? m.error.code}`)
}

function ping() {
  asked = performance.now()
  send({ event: "hotsock.ping" })
}
setInterval(ping, 5000)

// wait makes a channel one whose subscription is not answered yet.
function wait(c) {
  c.state = "waiting"
  c.answered = new Promise((resolve) => (c.resolve = resolve))
  return c
}

function settle(name, state) {
  const c = channels.get(name)
  if (!c) return
  c.state = state
  c.resolve()
  draw()
}

function subscribe(name) {
  const known = wait(channels.get(name) ?? {})
  channels.set(name, known)
  // With the last id that was seen, nothing is missed and nothing comes twice.
  send({ event: "hotsock.subscribe", channel: name, ...(known.after && { data: { after: known.after } }) })
  draw()
}

function unsubscribe(name) {
  channels.delete(name)
  send({ event: "hotsock.unsubscribe", channel: name })
  draw()
}

function draw() {
  $("channels").replaceChildren(...[...channels].map(([name, c]) => {
    const li = make("li", "", name)
    li.dataset.state = c.state
    li.title = c.state === "bad" ? "not permitted" : c.state
    const close = make("button", "quiet", "×")
    close.type = "button"
    close.setAttribute("aria-label", `Unsubscribe from ${name}`)
    close.onclick = () => unsubscribe(name)
    li.append(close)
    return li
  }))
}

function show(m) {
  $("count").textContent = ++heard
  $("empty").hidden = true
  const c = channels.get(m.channel)
  if (c && m.id) c.after = m.id
  const li = make("li")
  const head = make("div", "head")
  head.append(make("span", "event", m.event), make("span", "channel", m.channel))
  if (m.id) head.append(make("span", "id", m.id))
  head.append(make("time", "", new Date().toLocaleTimeString()))
  li.append(head, make("pre", "data", JSON.stringify(m.data, null, 2)))
  $("messages").prepend(li)
  while ($("messages").childElementCount > shown) $("messages").lastElementChild.remove()
}

function notice(text) {
  $("notice").dataset.state = "bad"
  $("notice").textContent = text
}

function result(state, text) {
  $("publish-result").dataset.state = state
  $("publish-result").textContent = text
}

// message is what the form says, or throws what is wrong with it.
function message() {
  const text = $("publish-data").value.trim()
  let data = null
  try {
    if (text) data = JSON.parse(text)
  } catch {
    throw new Error("the data is not valid JSON; a text needs quotes")
  }
  const store = Number($("publish-store").value)
  return { channel: $("publish-channel").value.trim(), event: $("publish-event").value.trim(), data, ...(store !== 0 && { store }) }
}

async function publish(m) {
  const answer = await fetch("/publish", {
    method: "POST",
    headers: { Authorization: `Bearer ${dev.publish_key}`, "Content-Type": "application/json" },
    body: JSON.stringify(m),
  })
  const body = await answer.json()
  if (!answer.ok) throw new Error(body.error.message)
}

const quoted = (s) => `'${s.replaceAll("'", `'\\''`)}'`

function writeCurl() {
  try {
    $("curl").textContent = `curl ${location.origin}/publish \\\n  -H ${quoted(`Authorization: Bearer ${dev.publish_key}`)} \\\n  -d ${quoted(JSON.stringify(message()))}`
  } catch (e) {
    $("curl").textContent = e.message
  }
}

$("publish").addEventListener("input", writeCurl)
$("publish").addEventListener("submit", async (e) => {
  e.preventDefault()
  $("publish-button").disabled = true
  try {
    const m = message()
    if (!channels.has(m.channel)) {
      subscribe(m.channel)
      await channels.get(m.channel).answered // else the message could be earlier than we are
    }
    const begun = performance.now()
    await publish(m)
    result("good", `published in ${(performance.now() - begun).toFixed(1)} ms`)
  } catch (error) {
    result("bad", error instanceof TypeError ? "the server does not answer" : error.message)
  }
  $("publish-button").disabled = false
})
$("subscribe").addEventListener("submit", (e) => {
  e.preventDefault()
  subscribe($("subscribe-channel").value.trim())
  $("subscribe-channel").value = ""
})
$("clear").addEventListener("click", () => {
  $("messages").replaceChildren()
  $("empty").hidden = false
})
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("curl").textContent)
  $("copy").textContent = "Copied"
  setTimeout(() => ($("copy").textContent = "Copy"), 1500)
})

subscribe("hello")
connect()

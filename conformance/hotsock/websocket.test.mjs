// A plain WebSocket client of npm's ws, and Node's fetch: what a script without
// any library of ours does.
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import WebSocket from "ws"
import { Server, channelName, sign } from "../server.mjs"

describe("ws and fetch", () => {
  let server
  before(async () => (server = await Server.start()))
  after(() => server.stop())

  // open connects, and reads frame by frame.
  async function open(claims, { path = "/v1", options } = {}) {
    const token = server.token({ scope: "connect", ...claims })
    const ws = new WebSocket(`${server.dev.url.replace(/^http/, "ws").replace(/\/$/, "")}${path}?token=${token}`, options)
    const frames = []
    let wake = () => {}
    ws.on("message", (data, binary) => (frames.push(binary ? data : JSON.parse(data)), wake()))
    const closed = new Promise((resolve) => ws.on("close", (code, reason) => (resolve({ code, reason: String(reason) }), wake())))
    const refused = new Promise((resolve) => ws.on("unexpected-response", (_, answer) => resolve(answer)))
    const opened = new Promise((resolve, reject) => (ws.on("open", resolve), ws.on("error", reject)))
    const read = async () => {
      while (frames.length === 0) await new Promise((resolve) => (wake = resolve))
      return frames.shift()
    }
    return { ws, read, closed, refused, opened, send: (m) => ws.send(typeof m === "string" ? m : JSON.stringify(m)) }
  }
  const all = { "*": { subscribe: true, messages: { "*": { publish: true, echo: true, store: 60 } } } }

  it("is refused before the handshake, in JSON, with a bad token", async () => {
    const url = server.dev.ws_url
    for (const token of ["", "x", sign({ alg: "HS256", kid: server.dev.signing_key_id }, { scope: "connect", exp: 1 }, server.dev.signing_key), sign({ alg: "none" }, { scope: "connect", exp: 9e9 }, "")]) {
      const ws = new WebSocket(`${url}?token=${token}`)
      ws.on("error", () => {})
      const answer = await new Promise((resolve) => ws.on("unexpected-response", (_, r) => resolve(r)))
      assert.equal(answer.statusCode, 401)
      let body = ""
      for await (const chunk of answer) body += chunk
      assert.equal(typeof JSON.parse(body).error.code, "string")
    }
  })

  it("offers compression and need not get it", async () => {
    const c = await open({ channels: all }, { options: { perMessageDeflate: true } })
    assert.equal((await c.read()).event, "hotsock.connected")
    c.ws.terminate()
  })

  it("hears messages larger than 64 KiB never, and of 32 KiB whole", async () => {
    const c = await open({ channels: all })
    await c.read()
    const channel = channelName("size")
    c.send({ event: "hotsock.subscribe", channel })
    assert.equal((await c.read()).event, "hotsock.subscribed")
    const data = "å".repeat(16 * 1024 - 2)
    c.send({ event: "big", channel, data })
    assert.equal((await c.read()).data, data)
    c.send({ event: "big", channel, data: "x".repeat(33 * 1024) })
    const error = await c.read()
    assert.deepEqual([error.event, error.error.code, error.channel], ["hotsock.error", "MESSAGE_TOO_LARGE", channel])
    c.send({ event: "after", channel, data: 1 })
    assert.equal((await c.read()).event, "after")
    c.send("x".repeat(200 * 1024))
    assert.equal((await c.closed).code, 1009)
  })

  it("answers what it does not understand, and goes on", async () => {
    const c = await open({ channels: all })
    await c.read()
    for (const bad of ["not json", "[]", "null", `{"event":["x"]}`, `{"event":"a","event":"b"}`, `{"event":"hotsock.nothing"}`, `{"event":"x"}`, `{"channel":"x"}`]) {
      c.send(bad)
      const answer = await c.read()
      assert.equal(answer.event, "hotsock.error", bad)
      assert.equal(typeof answer.error.code, "string")
      assert.notEqual(answer.error.code, "NOT_SUBSCRIBED")
    }
    c.send({ event: "hotsock.ping" })
    assert.equal((await c.read()).event, "hotsock.pong")
    c.ws.terminate()
  })

  it("resumes after kill -9 exactly where it was", async () => {
    const channel = channelName("resume")
    const c = await open({ channels: all })
    await c.read()
    c.send({ event: "hotsock.subscribe", channel, data: { resume: "" } })
    const { resume } = (await c.read()).data
    const first = await server.publish({ channel, event: "n", data: 1, store: 60, eagerIdGeneration: true })
    const { id } = await first.json()
    assert.equal((await c.read()).id, id)
    await server.publish({ channel, event: "n", data: 2, store: 60 })
    await server.publish({ channel, event: "n", data: 3, store: 60 })
    await server.kill()
    await server.run()
    const d = await open({ channels: all })
    await d.read()
    d.send({ event: "hotsock.subscribe", channel, data: { after: id, resume } })
    const subscribed = await d.read()
    assert.deepEqual([subscribed.event, subscribed.data.recovered], ["hotsock.subscribed", true])
    assert.deepEqual([(await d.read()).data, (await d.read()).data], [2, 3])
    await server.publish({ channel, event: "n", data: 4 })
    assert.equal((await d.read()).data, 4)
    d.ws.terminate()
    // The ticket alone goes on where it was given; an id alone opens nothing.
    const e = await open({ channels: all })
    await e.read()
    e.send({ event: "hotsock.subscribe", channel, data: { resume } })
    assert.equal((await e.read()).data.recovered, true)
    for (const n of [1, 2, 3, 4]) assert.equal((await e.read()).data, n)
    e.ws.terminate()
    const f = await open({ channels: all })
    await f.read()
    f.send({ event: "hotsock.subscribe", channel, data: { after: id } })
    assert.equal((await f.read()).data.recovered, false)
    f.send({ event: "hotsock.ping" })
    assert.equal((await f.read()).event, "hotsock.pong")
    f.ws.terminate()
  })

  it("lists stored messages over the client's HTTP API", async () => {
    const channel = channelName("list")
    const c = await open({ channels: { [channel]: { subscribe: true, historyStart: 0 } } })
    const { connectionId, connectionSecret } = (await c.read()).data
    for (let i = 0; i < 3; i++) await server.publish({ channel, event: "n", data: i, store: 60 })
    await server.publish({ channel, event: "n", data: "not stored" })
    c.send({ event: "hotsock.subscribe", channel })
    await c.read()
    const list = (body) =>
      fetch(new URL(`/connection/listMessages?${new URLSearchParams({ connectionId, connectionSecret })}`, server.dev.url), { method: "POST", body: JSON.stringify({ channel, ...body }) })
    const answer = await list({})
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get("access-control-allow-origin"), "*")
    const { messages } = await answer.json()
    assert.deepEqual(messages.map((m) => m.data), [0, 1, 2])
    assert.ok(messages.every((m) => m.meta))
    const reversed = await (await list({ reverse: true, before: messages[2].id })).json()
    assert.deepEqual(reversed.messages.map((m) => m.data), [1, 0])
    c.ws.terminate()
  })
})

// Each protocol as its clients know it. A listener hears a channel: next() resolves
// with {event, data} or, where the protocol knows no events, {data}. A speaker says
// something on a channel, and rejects if that was refused.
import { createHash, createHmac } from "node:crypto"
import { createRequire } from "node:module"
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda"
import { Socket } from "phoenix"
import WebSocket from "ws"
import { Heard, slug } from "./space.mjs"

globalThis.window ??= globalThis // phoenix 1.2 looks for the page that it would run in
const phoenix12 = createRequire(import.meta.url)("phoenix-1.2")

const opened = (socket) => new Promise((resolve, reject) => (socket.on("open", resolve), socket.on("error", reject)))
const refused = (why) => Object.assign(new Error(`refused: ${JSON.stringify(why)}`), { refused: why })

// A Listener hears over a WebSocket of its own.
class Listener {
  heard = new Heard()

  next() {
    return this.heard.next()
  }

  close() {
    this.socket.terminate()
  }
}

// Hotsock: a WebSocket with a JWT.
class Hotsock extends Listener {
  static async open(space, channel, { listen, publish }) {
    const grant = { subscribe: listen, messages: { "*": { publish } } }
    const c = new Hotsock()
    c.channel = channel
    c.answers = new Heard()
    c.socket = new WebSocket(`${space.ws}/v1?token=${space.token({ scope: "connect", uid: "h", channels: { [channel]: grant } })}`)
    c.socket.on("message", (text) => {
      const frame = JSON.parse(text)
      if (frame.event.startsWith("hotsock.")) c.answers.push(frame)
      else c.heard.push({ event: frame.event, data: frame.encoding === "base64" ? Buffer.from(frame.data, "base64") : frame.data })
    })
    await opened(c.socket)
    await c.answers.next() // hotsock.connected
    if (listen !== undefined) await c.ask({ event: "hotsock.subscribe", channel })
    return c
  }

  async ask(frame) {
    this.socket.send(JSON.stringify(frame))
    const answer = await this.answers.next()
    if (answer.event === "hotsock.error") throw refused(answer.error.code)
  }

  async say(event, data) {
    this.socket.send(JSON.stringify({ event, channel: this.channel, data }))
    // A ping is answered behind it; an error would be before the pong.
    await this.ask({ event: "hotsock.ping" })
  }
}

// Phoenix Channels of either age, by the unmodified phoenix.js.
class Phoenix extends Listener {
  static async open(Library, space, channel, { listen, publish }) {
    const claims = { uid: "p", listen: listen ? [channel] : [], publish: publish ? [channel] : [] }
    const c = new Phoenix()
    c.socket = new Library(`${space.ws}/socket/${slug}`, { transport: WebSocket, params: { token: space.token(claims) } })
    c.socket.connect()
    c.channel = c.socket.channel(channel, {})
    c.channel.onMessage = (event, payload) => {
      if (!event.startsWith("phx_") && !event.startsWith("chan_reply")) c.heard.push({ event, data: payload instanceof ArrayBuffer ? Buffer.from(payload) : payload })
      return payload
    }
    try {
      await replied(c.channel.join())
    } catch (err) {
      c.close()
      throw err
    }
    return c
  }

  // say waits for its own message to come back: a room of Ex Pusher Lite replies to
  // what it refuses only.
  async say(event, data) {
    this.heard.all.length = 0
    const push = this.channel.push(event, Buffer.isBuffer(data) ? new Uint8Array(data).buffer : data)
    const no = new Promise((_, reject) => push.receive("error", (why) => reject(refused(why))))
    await Promise.race([no, this.heard.next()])
  }

  close() {
    this.socket.disconnect()
    clearInterval(this.socket.heartbeatTimer) // 1.2.1's disconnect forgets to
    this.channel.rejoinTimer?.reset()
  }
}

const replied = (push) =>
  new Promise((resolve, reject) =>
    push
      .receive("ok", resolve)
      .receive("error", (why) => reject(refused(why)))
      .receive("timeout", () => reject(new Error("no reply in time"))),
  )

// notiflux: text commands over a WebSocket.
class Notiflux extends Listener {
  static async open(space, channel, { listen }) {
    const c = new Notiflux()
    c.socket = new WebSocket(`${space.ws}/ws`)
    c.socket.on("message", (data, binary) => c.heard.push({ data: binary ? data : String(data) }))
    await opened(c.socket)
    c.socket.send(`/subscribe ${channel} ${space.tokenES({ topics: [listen ? channel : "another"], scope: "subscribe" })}`)
    // A subscribe is answered by silence; an unknown command is not.
    c.socket.send("/done")
    if ((await c.next()).data !== "Unknown command") throw new Error("out of step")
    return c
  }
}

// API Gateway: a WebSocket that a backend lets hear a channel, by a signed request
// such as its SDKs send.
class Gateway extends Listener {
  static async open(space, channel, { listen, envelope }) {
    const c = new Gateway()
    c.socket = new WebSocket(`${space.ws}/${slug}/prod`)
    c.socket.on("message", (data, binary) => {
      if (!envelope) return c.heard.push({ data: binary ? data : String(data) })
      const m = JSON.parse(data)
      c.heard.push(m.connectionId ? m : { event: m.event ?? "message", data: m.isBase64Encoded ? Buffer.from(m.data, "base64") : m.data })
    })
    await opened(c.socket)
    c.socket.send("no route takes this")
    const told = await c.heard.next()
    const { connectionId } = envelope ? told : JSON.parse(told.data)
    const path = `/@connections/${encodeURIComponent(connectionId)}/@channels/${encodeURIComponent(channel)}${envelope ? "?envelope=true" : ""}`
    try {
      await accepted(await signed(space, listen, "PUT", path), 204)
    } catch (err) {
      c.close()
      throw err
    }
    return c
  }
}

const overChannel = (space, channel, { publish }) => ({
  async say(event, data) {
    const path = `/@channels/${encodeURIComponent(channel)}?event=${encodeURIComponent(event)}`
    await accepted(await signed(space, publish, "POST", path, Buffer.isBuffer(data) ? data : JSON.stringify(data)), 200)
  },
})

// signed asks the management API of the stage; with the wrong secret if it may not.
async function signed(space, may, method, path, body = "") {
  const key = space.app.accessKeys[0]
  const url = new URL(`${space.url}/${slug}/prod${path}`)
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "")
  const scope = `${time.slice(0, 8)}/us-east-1/execute-api/aws4_request`
  const hash = (data) => createHash("sha256").update(data).digest("hex")
  const escape = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase())
  const query = [...url.searchParams].map(([k, v]) => `${escape(k)}=${escape(v)}`).sort().join("&")
  const uri = url.pathname.split("/").map(escape).join("/")
  const request = [method, uri, query, `host:${url.host}`, `x-amz-date:${time}`, "", "host;x-amz-date", hash(body)].join("\n")
  const chain = scope.split("/").reduce((k, part) => createHmac("sha256", k).update(part).digest(), "AWS4" + (may ? key.secret : "another"))
  const signature = createHmac("sha256", chain).update(["AWS4-HMAC-SHA256", time, scope, hash(request)].join("\n")).digest("hex")
  return fetch(url, {
    method,
    headers: { "content-type": "application/octet-stream", "x-amz-date": time, authorization: `AWS4-HMAC-SHA256 Credential=${key.id}/${scope}, SignedHeaders=host;x-amz-date, Signature=${signature}` },
    body: method === "POST" ? body : undefined,
  })
}

const accepted = async (answer, status) => {
  if (answer.status !== status) throw refused(`${answer.status} ${await answer.text()}`)
  return answer.text()
}

// The speakers without a connection.
const overHTTP = (space, channel, { publish }) => ({
  async say(event, data) {
    const answer = await fetch(`${space.url}/publish`, {
      method: "POST",
      headers: { authorization: `Bearer ${publish ? space.app.publishKeys[0].key : "another"}`, "content-type": "application/json" },
      body: JSON.stringify({ channel, event, data }),
    })
    await accepted(answer, 202)
  },
})

const overLambda = (space, channel, { publish }) => {
  const client = new LambdaClient({
    endpoint: space.url,
    region: "us-east-1",
    credentials: { accessKeyId: space.app.accessKeys[0].id, secretAccessKey: publish ? space.app.accessKeys[0].secret : "another" },
  })
  return {
    async say(event, data) {
      const command = new InvokeCommand({ FunctionName: `earshot-${slug}`, Payload: JSON.stringify({ channel, event, data }) })
      const answer = await client.send(command).catch((err) => Promise.reject(refused(err.name)))
      if (answer.FunctionError) throw refused(Buffer.from(answer.Payload).toString())
    },
    close: () => client.destroy(),
  }
}

const overEvents = (space, channel, { publish }) => ({
  async say(event, data) {
    const [scope] = channel.split(":")
    const secret = publish ? space.app.secrets[0].secret : "another"
    const answer = await fetch(`${space.url}/api/apps/${slug}/events`, {
      method: "POST",
      headers: { authorization: "Basic " + Buffer.from(`${space.app.key}:${secret}`).toString("base64") },
      body: new URLSearchParams({ topic: "#general", event, scope, payload: JSON.stringify(data) }),
    })
    await accepted(answer, 200)
  },
})

const overBroadcast = (space, channel, { publish }) => ({
  async say(_, message) {
    const token = space.tokenES({ topics: [publish ? channel : "another"], scope: "broadcast" })
    const answer = await fetch(`${space.url}/broadcast`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ topic: channel, message, token }),
    })
    await accepted(answer, 200) // it says so to who may not, too
  },
})

// What a speaker can say: any JSON value, JSON objects alone, text without an event,
// or bytes too.
export const speakers = {
  Hotsock: { says: ["value", "object"], open: Hotsock.open },
  "POST /publish": { says: ["value", "object"], open: overHTTP },
  "Lambda Invoke": { says: ["value", "object"], open: overLambda },
  "Phoenix V2": { says: ["object", "bytes"], open: (...args) => Phoenix.open(Socket, ...args) },
  "Phoenix V1": { says: ["object"], open: (...args) => Phoenix.open(phoenix12.Socket, ...args) },
  "Ex Pusher Lite": { says: ["object"], open: overEvents },
  "API Gateway": { says: ["value", "object", "bytes"], open: overChannel },
  "notiflux broadcast": { says: ["text"], silent: true, open: overBroadcast },
}

// What a listener can be told: names of events, and bytes.
export const listeners = {
  Hotsock: { events: true, bytes: true, open: Hotsock.open },
  "Phoenix V2": { events: true, bytes: true, open: (...args) => Phoenix.open(Socket, ...args) },
  "Phoenix V1": { events: true, bytes: false, open: (...args) => Phoenix.open(phoenix12.Socket, ...args) },
  "API Gateway": { events: false, bytes: true, open: Gateway.open },
  "API Gateway, enveloped": { events: true, bytes: true, open: (space, channel, rights) => Gateway.open(space, channel, { ...rights, envelope: true }) },
  notiflux: { events: false, bytes: true, silent: true, open: Notiflux.open },
}

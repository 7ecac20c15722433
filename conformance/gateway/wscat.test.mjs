// wscat, which AWS's own pages connect with, as its users type it (section 15 of
// the specification), and what wscat cannot send by the package that it is built on.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import WebSocket from "ws"
import { Gateway, policy } from "./server.mjs"

const binary = fileURLToPath(new URL("../node_modules/.bin/wscat", import.meta.url))

let gateway

before(async () => {
  gateway = await Gateway.start()
})
after(() => gateway.stop())

// wscat runs it with its input open until it has printed a line, and resolves to
// what it printed.
async function wscat(path, ...args) {
  const child = spawn(binary, ["-c", gateway.ws + path, "-w", "60", ...args], { stdio: ["pipe", "pipe", "pipe"] })
  let out = ""
  let err = ""
  child.stdin.on("error", () => {}) // it may have ended by itself
  child.stdout.on("data", (chunk) => {
    out += chunk
    if (out.includes("\n")) child.stdin.end()
  })
  child.stderr.on("data", (chunk) => (err += chunk))
  const code = await new Promise((resolve) => child.once("close", resolve))
  return { code, out: out.trim(), err: err.trim() }
}

// late answers when nobody waits for it any more.
const late = () => new Promise((resolve) => setTimeout(resolve, 5000, {}))

const frame = /^\{"message": "([^"]+)", "connectionId":"[\w-]{15}=", "requestId":"[\w-]{15}="\}$/

describe("wscat", () => {
  it("prints what comes back, and closes without a code", async () => {
    gateway.integrate = (e) => ({ statusCode: 200, body: e.body && `heard ${e.body}` })
    const text = '{"action":"echo","text":"wörld"}'
    assert.deepEqual(await wscat("/prod", "-x", text), { code: 0, out: `heard ${text}`, err: "" })
    const end = await gateway.event((e) => e.requestContext.eventType === "DISCONNECT")
    assert.equal(end.requestContext.disconnectStatusCode, 1005)
    assert.equal(end.requestContext.disconnectReason, "Client-side close frame status not set")
  })

  it("takes a slash after the stage, and shows its headers as they were typed", async () => {
    gateway.integrate = (e) => ({ statusCode: 200, body: e.body && "done" })
    const { code } = await wscat("/prod/?name=spelled", "-H", "HeaderAuth1:v", "-x", "hi", "-x", '{"action":"echo"}')
    assert.equal(code, 0)
    const event = await gateway.event((e) => e.queryStringParameters?.name === "spelled")
    assert.equal(event.headers.HeaderAuth1, "v")
    assert.equal(event.headers["Sec-WebSocket-Version"], "13")
    assert.equal(event.headers["Sec-WebSocket-Extensions"], "permessage-deflate; client_max_window_bits")
    assert.equal(event.headers.Connection, undefined)
    const message = await gateway.event((e) => e.body === "hi")
    assert.equal(message.requestContext.routeKey, "$default")
  })

  it("is told of a rejected handshake by its status", async () => {
    for (const [answer, status] of [
      [{ statusCode: 401 }, 401],
      [{ statusCode: 403 }, 403],
      [{ statusCode: 500 }, 500],
      [{ statusCode: 501 }, 501],
      [{ statusCode: 0 }, 502],
      ["no JSON", 502],
      [null, 502],
    ]) {
      gateway.integrate = () => answer
      const got = await wscat("/prod")
      assert.deepEqual(got, { code: 255, out: "", err: `error: Unexpected server response: ${status}` }, JSON.stringify(answer))
    }
    gateway.integrate = late
    assert.match((await wscat("/prod")).err, /response: 504$/)
    gateway.integrate = () => ({ statusCode: 200 })
    assert.match((await wscat("/nope")).err, /response: 403$/)
  })

  it("is judged by an authorizer", async () => {
    const asked = () => gateway.events.filter((e) => e.type === "REQUEST").length
    const before = asked()
    assert.match((await wscat("/dev")).err, /response: 401$/)
    assert.match((await wscat("/dev?Auth=")).err, /response: 401$/)
    assert.equal(asked(), before, "without its identity source the authorizer is not asked")
    for (const [name, authorize, status] of [
      ["Deny", (e) => policy(e.methodArn, "Deny"), 403],
      ["another's", () => policy("arn:aws:execute-api:us-east-1:000000000000:else/dev/$connect", "Allow"), 403],
      ["one segment too many", () => policy("arn:aws:execute-api:us-east-1:000000000000:def456/dev/*/*", "Allow"), 403],
      ["no policy", () => ({ principalId: "me" }), 500],
      ["a status", () => ({ statusCode: 401 }), 500],
      ["Unauthorized", () => '"Unauthorized"', 401],
    ]) {
      gateway.authorize = authorize
      assert.match((await wscat("/dev?Auth=tok")).err, new RegExp(`response: ${status}$`), name)
    }
    gateway.authorize = () => policy("arn:aws:execute-api:us-east-1:000000000000:def456/dev/*", "Allow", { context: { org: "my-org", n: 1 } })
    gateway.integrate = (e) => ({ statusCode: 200, body: JSON.stringify(e.requestContext.authorizer) })
    const { out } = await wscat("/dev?Auth=tok", "-x", '{"action":"echo"}')
    assert.deepEqual(JSON.parse(out), { principalId: "me", org: "my-org", n: "1" })
  })

  it("agrees on a subprotocol only if the integration chooses it", async () => {
    gateway.integrate = (e) => ({ statusCode: 200, headers: { "sec-websocket-protocol": "myprotocol" }, body: e.body && "yes" })
    assert.equal((await wscat("/prod", "-s", "chat1", "-s", "myprotocol", "-x", '{"action":"echo"}')).out, "yes")
    gateway.integrate = () => ({ statusCode: 200 })
    assert.match((await wscat("/prod", "-s", "chat1")).err, /Server sent no subprotocol/)
  })

  it("hears error frames, byte for byte", async () => {
    const says = async (text, stage = "/prod") => {
      const { out } = await wscat(stage, "-x", text)
      assert.match(out, frame)
      return frame.exec(out)[1]
    }
    gateway.authorize = (e) => policy(e.methodArn, "Allow")
    gateway.integrate = () => ({ statusCode: 200 })
    assert.equal(await says('{"action":"nope"}', "/dev?Auth=tok"), "Forbidden")
    assert.equal(await says("no JSON", "/dev?Auth=tok"), "Forbidden")
    gateway.integrate = (e) => (e.body ? "garbage" : { statusCode: 200 })
    assert.equal(await says('{"action":"echo"}'), "Internal server error")
    assert.equal(await says('{"action":"one-way"}'), "Internal server error")
    gateway.integrate = (e) => (e.body ? late() : { statusCode: 200 })
    assert.equal(await says('{"action":"echo"}'), "Endpoint request timed out")
    gateway.integrate = (e) => ({ statusCode: e.body ? 501 : 200, body: e.body && "a reply" })
    const { out } = await wscat("/prod", "-x", '{"action":"one-way"}', "-x", '{"action":"echo"}')
    assert.equal(out, "a reply", "the status of an answer means nothing")
  })
})

describe("ws", () => {
  const ends = (what) =>
    new Promise((resolve, reject) => {
      gateway.integrate = () => ({ statusCode: 200 })
      const socket = new WebSocket(`${gateway.ws}/prod`)
      socket.on("open", () => socket.send(what)).on("error", reject)
      socket.on("close", (code, reason) => resolve([code, reason.toString()]))
    })

  it("is closed for a binary message, and for one that is too large", async () => {
    assert.deepEqual(await ends(Buffer.from("binary")), [1003, "Binary messages are not supported"])
    assert.equal((await ends("x".repeat((128 << 10) + 1)))[0], 1009)
  })

  it("is answered 426 without an upgrade", async () => {
    const answer = await fetch(`${gateway.url}/prod`)
    assert.equal(answer.status, 426)
    assert.equal(answer.headers.get("upgrade"), "websocket")
  })
})

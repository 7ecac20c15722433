// LongPoll of the unmodified phoenix.js 1.8, and the fallback to it, against Earshot.
import assert from "node:assert/strict"
import { createServer } from "node:net"
import { after, before, describe, it } from "node:test"
import { LongPoll, Presence, Socket } from "phoenix"
import { WebSocket, address, open, replied } from "./client.mjs"
import { next } from "../server.mjs"

describe("phoenix.js 1.8 on long polls", () => {
  let server
  const sockets = []
  before(async () => (server = await open()))
  after(async () => {
    await Promise.all(sockets.map((s) => next((done) => s.disconnect(done))))
    await server.stop()
  })

  function socket(options = {}, path) {
    const s = new Socket(address(server, path), { transport: LongPoll, ...options })
    sockets.push(s)
    s.connect()
    return s
  }

  it("B.6: joins, pushes in a batch, hears itself and a WebSocket, and leaves", async () => {
    const polling = socket().channel("room:poll")
    const ws = new Socket(address(server), { transport: WebSocket })
    sockets.push(ws)
    ws.connect()
    const other = ws.channel("room:poll")
    assert.deepEqual(await replied(polling.join()), {})
    await replied(other.join())
    const numbers = []
    const all = next((f) => polling.on("n", ({ n }) => numbers.push(n) === 250 && f()))
    for (let n = 0; n < 250; n++) polling.push("n", { n })
    await all
    assert.deepEqual(numbers, [...Array(250).keys()])
    const heard = next((f) => polling.on("from ws", f))
    other.push("from ws", { "ä": ["\u2028", '"', "\\"] })
    assert.deepEqual(await heard, { "ä": ["\u2028", '"', "\\"] })
    const closed = next((f) => polling.onClose(f))
    await replied(polling.leave())
    await closed
  })

  it("B.6: a binary push is heard by WebSockets, and not by who polls", async () => {
    const polling = socket().channel("room:poll-binary")
    const ws = new Socket(address(server), { transport: WebSocket })
    sockets.push(ws)
    ws.connect()
    const other = ws.channel("room:poll-binary")
    await replied(polling.join())
    await replied(other.join())
    const heard = next((f) => other.on("upload", f))
    polling.on("upload", () => assert.fail("a binary message over a long poll"))
    await replied(polling.push("upload", new Uint8Array([0, 255, 3]).buffer))
    assert.deepEqual([...new Uint8Array(await heard)], [0, 255, 3])
    const after = next((f) => polling.on("after", f))
    other.push("after", {})
    await after
  })

  it("B.2: authToken comes in a header", async () => {
    const s = socket({ authToken: server.token({ uid: "ann", listen: ["private:*"] }) })
    assert.deepEqual(await replied(s.channel("private:x").join()), { message: "Joined" })
    const refused = socket({ authToken: server.token({ listen: ["*"], exp: 1 }) })
    assert.equal(await next((f) => refused.onError(f)), 403)
  })

  it("B.6: another version and another app are refused", async () => {
    assert.equal(await next((f) => socket({ vsn: "3.0.0" }).onError(f)), 403)
    assert.equal(await next((f) => socket({}, "/socket/nobody").onError(f)), 403)
    assert.deepEqual(await replied(socket({}, "/socket/dev").channel("room:lobby").join()), {})
  })

  it("B.7: presence", async () => {
    const join = async (uid) => {
      const channel = socket({ authToken: server.token({ uid, listen: ["*"] }) }).channel("presence:poll")
      const presence = new Presence(channel)
      const synced = next((f) => presence.onSync(f))
      await replied(channel.join())
      await synced
      return presence
    }
    const ann = await join("ann")
    const came = next((f) => ann.onJoin((id) => id === "bob" && f(id)))
    await join("bob")
    await came
    assert.deepEqual(ann.list((id) => id).sort(), ["ann", "bob"])
  })

  it("B.6: a session that is gone is opened again, and its topics joined", async () => {
    const own = await open()
    const s = new Socket(address(own), { transport: LongPoll, reconnectAfterMs: () => 50, rejoinAfterMs: () => 50 })
    const closes = []
    s.onClose((e) => closes.push(e.code))
    s.connect()
    const channel = s.channel("room:lobby")
    await replied(channel.join())
    let killed = false
    const rejoined = next((f) => channel.joinPush.receive("ok", () => killed && f()))
    // The server forgets all sessions, and is there again on the same port.
    const port = new URL(own.dev.url).port
    await own.kill()
    killed = true
    const reopened = next((f) => s.onOpen(f))
    await own.run(port)
    await reopened
    const heard = next((f) => channel.on("again", f))
    await rejoined
    await replied(channel.push("again", { n: 1 }))
    assert.deepEqual(await heard, { n: 1 })
    assert.ok(closes.length > 0 && !closes.includes(1000), `closed with ${closes}`)
    await next((done) => s.disconnect(done))
    await own.stop()
  })

  it("B.6: longPollFallbackMs, where a WebSocket opens and nothing answers on it", async () => {
    // A proxy that lets HTTP through, and swallows WebSockets.
    const { port, hostname } = new URL(server.dev.url)
    const { connect } = await import("node:net")
    const open = new Set()
    const proxy = createServer((from) => {
      open.add(from)
      from.on("error", () => {}).on("close", () => open.delete(from))
      from.once("data", (data) => {
        if (/upgrade: websocket/i.test(data.toString("latin1"))) return
        const to = connect(Number(port), hostname)
        to.on("error", () => {}).on("close", () => from.destroy())
        from.on("close", () => to.destroy())
        to.write(data)
        from.pipe(to).pipe(from)
      })
    })
    await next((f) => proxy.listen(0, "127.0.0.1", f))
    const store = new Map()
    const s = new Socket(`ws://127.0.0.1:${proxy.address().port}/socket`, {
      transport: WebSocket,
      longPollFallbackMs: 300,
      sessionStorage: { getItem: (k) => store.get(k) ?? null, setItem: (k, v) => void store.set(k, v), removeItem: (k) => void store.delete(k) },
    })
    s.connect()
    const channel = s.channel("room:fallback")
    assert.deepEqual(await replied(channel.join()), {})
    const heard = next((f) => channel.on("e", f))
    await replied(channel.push("e", { n: 1 }))
    assert.deepEqual(await heard, { n: 1 })
    assert.equal(store.get("phx:fallback:LongPoll"), "true")
    await next((done) => s.disconnect(done))
    for (const c of open) c.destroy()
    await next((f) => proxy.close(f))
  })

  it("B.6: longPollFallbackMs stays on the WebSocket where that answers", async () => {
    const store = new Map()
    const s = socket({
      transport: WebSocket,
      longPollFallbackMs: 5000,
      sessionStorage: { getItem: (k) => store.get(k) ?? null, setItem: (k, v) => void store.set(k, v), removeItem: (k) => void store.delete(k) },
    })
    assert.deepEqual(await replied(s.channel("room:healthy").join()), {})
    assert.ok(s.conn instanceof WebSocket)
    assert.equal(store.size, 0)
  })
})

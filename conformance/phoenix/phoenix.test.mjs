// The unmodified phoenix.js 1.8 (V2) against Earshot.
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import { Presence, Serializer, Socket } from "phoenix"
import { WebSocket, address, open, replied } from "./client.mjs"
import { next } from "../server.mjs"

describe("phoenix.js 1.8", () => {
  let server
  const sockets = []
  before(async () => (server = await open()))
  after(async () => {
    await Promise.all(sockets.map((s) => next((done) => s.disconnect(done))))
    await server.stop()
  })

  function socket(options = {}, path) {
    const s = new Socket(address(server, path), { transport: WebSocket, ...options })
    sockets.push(s)
    s.connect()
    return s
  }
  const token = (claims) => server.token(claims)

  it("B.4: joins, pushes, hears itself and others, and leaves", async () => {
    const ann = socket().channel("room:lobby", { name: "Ann" })
    const bob = socket().channel("room:lobby")
    assert.deepEqual(await replied(ann.join()), {})
    await replied(bob.join())
    const heard = [ann, bob].map((c) => next((f) => c.on("shout", f)))
    assert.deepEqual(await replied(ann.push("shout", { body: "hej", n: [1, null] })), {})
    for (const message of await Promise.all(heard)) assert.deepEqual(message, { body: "hej", n: [1, null] })
    const closed = next((f) => ann.onClose(f))
    await replied(ann.leave())
    await closed
    assert.equal(ann.state, "closed")
  })

  it("B.4: a topic that is joined again goes on, and a second one beside it", async () => {
    const s = socket()
    const first = s.channel("room:again")
    await replied(first.join())
    const second = s.channel("room:again") // closes the first in the client
    await replied(second.join())
    const beside = s.channel("room:beside")
    await replied(beside.join())
    const heard = next((f) => second.on("x", f))
    await replied(second.push("x", { y: 1 }))
    assert.deepEqual(await heard, { y: 1 })
    assert.equal(second.state, "joined")
    assert.equal(beside.state, "joined")
  })

  it("B.3.3: binary pushes are heard as binary", async () => {
    const sender = socket().channel("room:binary")
    const hearer = socket().channel("room:binary")
    await replied(sender.join())
    await replied(hearer.join())
    const heard = [sender, hearer].map((c) => next((f) => c.on("upload", f)))
    await replied(sender.push("upload", new Uint8Array([1, 2, 3, 255]).buffer))
    for (const data of await Promise.all(heard)) {
      assert.ok(data instanceof ArrayBuffer)
      assert.deepEqual([...new Uint8Array(data)], [1, 2, 3, 255])
    }
  })

  it("B.2: an authToken says who the client is", async () => {
    const jwt = token({ uid: "ann", listen: ["private:*"], publish: ["private:talk"] })
    const s = socket({ authToken: jwt })
    const opened = next((f) => s.onOpen(() => f()))
    await opened
    assert.equal(s.conn.protocol, "phoenix")
    const talk = s.channel("private:talk")
    assert.deepEqual(await replied(talk.join()), { message: "Joined" })
    await replied(talk.push("said", { a: 1 }))
    const quiet = s.channel("private:quiet")
    await replied(quiet.join())
    await assert.rejects(replied(quiet.push("said", {})), { message: "refused" })
    await assert.rejects(replied(s.channel("secret").join()), ({ response }) => response === "authentication_required")
  })

  it("B.2: a bad authToken is refused at the handshake", async () => {
    const s = socket({ authToken: token({ listen: ["*"], exp: 1 }) })
    const failed = await next((f) => s.onError(f))
    assert.match(failed.message, /403/)
  })

  it("A.7: tokens of the URL and of the join's payload", async () => {
    const jwt = token({ listen: ["private:*"] })
    assert.deepEqual(await replied(socket({ params: { csrf_token: jwt } }).channel("private:a").join()), { message: "Joined" })
    assert.deepEqual(await replied(socket().channel("private:a", { token: jwt }).join()), { message: "Joined" })
    const broken = socket().channel("private:a", { token: jwt.slice(0, -4) + "AAAA" })
    await assert.rejects(replied(broken.join()), ({ response }) => assert.deepEqual(response, { error: "invalid_token" }) ?? true)
    const expired = socket().channel("private:a", { token: token({ listen: ["*"], exp: 1 }) })
    await assert.rejects(replied(expired.join()), ({ response }) => assert.deepEqual(response, { error: "token_expired" }) ?? true)
  })

  it("the app of the URL and of the topic", async () => {
    assert.deepEqual(await replied(socket({}, "/socket/dev").channel("room:lobby").join()), {})
    assert.deepEqual(await replied(socket().channel("room:dev:1").join()), {})
  })

  it("A.7: a public room of an app needs no rule, and has its pace", async () => {
    const [ann, bob] = [socket().channel("public:dev:talk"), socket().channel("public:dev:talk")]
    assert.deepEqual(await replied(ann.join()), {})
    await replied(bob.join())
    const heard = [ann, bob].map((c) => next((f) => c.on("msg", f)))
    ann.push("msg", { name: "Ann" })
    for (const message of await Promise.all(heard)) assert.deepEqual(message, { name: "Ann" })
    const refused = next((f) => {
      for (let n = 0; n < 50; n++) ann.push("many", { n }).receive("error", f)
    })
    assert.deepEqual(await refused, { reason: "rate limited" })
    await assert.rejects(replied(socket().channel("public:nobody").join()), ({ response }) => assert.deepEqual(response, { reason: "unknown app" }) ?? true)
  })

  it("A.10: a join that asks hears what was said before, and then what is live", async () => {
    const ann = socket().channel("log:talk")
    await replied(ann.join())
    const before = Date.now() - 1000
    for (let n = 0; n < 30; n++) await replied(ann.push("n", { n }))
    const join = async (params, many) => {
      const channel = socket().channel("log:talk", params)
      const heard = []
      const all = next((f) => channel.on("n", ({ n }) => heard.push(n) === many && f()))
      await replied(channel.join())
      ann.push("n", { n: 30 })
      await all
      return heard
    }
    assert.deepEqual(await join({ history: true }, 21), [...Array(21).keys()].map((n) => n + 10))
    assert.deepEqual(await join({ since: before }, 32), [...Array(31).keys(), 30])
    assert.deepEqual(await join({}, 1), [30])
    await assert.rejects(replied(socket().channel("log:talk", { since: "then" }).join()), ({ response }) => /milliseconds/.test(response.reason))
  })

  it("B.7: two sockets see each other, and who left", async () => {
    const join = async (uid, umd, params = {}) => {
      const s = socket({ authToken: token({ uid, umd, listen: ["*"] }) })
      const channel = s.channel("presence:office", params)
      const presence = new Presence(channel)
      const events = []
      let wake = () => {}
      presence.onJoin((id, before, now) => (events.push(["join", id, now.metas[0].name]), wake()))
      presence.onLeave((id, now) => (events.push(["leave", id, now.metas.length]), wake()))
      const synced = next((f) => presence.onSync(f))
      await replied(channel.join())
      await synced
      return { channel, presence, events, wait: async (n) => { while (events.length < n) await new Promise((f) => (wake = f)) } }
    }
    const ann = await join("ann", { name: "Ann" })
    assert.deepEqual(ann.presence.list((id, { metas }) => [id, metas.length, metas[0].name]), [["ann", 1, "Ann"]])
    const bob = await join("bob", { name: "Bob" })
    await ann.wait(2)
    assert.deepEqual(ann.events, [["join", "ann", "Ann"], ["join", "bob", "Bob"]])
    for (const { presence } of [ann, bob]) {
      assert.deepEqual(presence.list((id, { metas }) => [id, metas.length, metas[0].name]).sort(), [["ann", 1, "Ann"], ["bob", 1, "Bob"]])
    }
    assert.deepEqual(ann.presence.state.bob, bob.presence.state.bob, "the same phx_ref for all")
    const newer = await join("bob", { name: "Robert" }) // another tab of bob's: one meta more
    await Promise.all([ann.wait(3), bob.wait(3)])
    const names = ({ presence }) => presence.list((id, { metas }) => [id, metas.map((m) => m.name).sort()]).sort()
    for (const who of [ann, bob, newer]) assert.deepEqual(names(who), [["ann", ["Ann"]], ["bob", ["Bob", "Robert"]]])
    await replied(bob.channel.leave())
    await ann.wait(4)
    assert.deepEqual(names(ann), [["ann", ["Ann"]], ["bob", ["Robert"]]])
    await replied(newer.channel.leave())
    await ann.wait(5)
    assert.deepEqual(ann.presence.list((id) => id), ["ann"])
  })

  it("B.7: newer metadata is one diff, that names the meta before", async () => {
    const join = async (umd) => {
      const channel = socket({ authToken: token({ uid: "cat", umd, listen: ["*"] }) }).channel("presence.shared")
      const presence = new Presence(channel)
      const synced = next((f) => presence.onSync(f))
      await replied(channel.join())
      await synced
      return { channel, presence }
    }
    const cat = await join({ n: 1 })
    const old = cat.presence.state.cat.metas[0].phx_ref
    const diff = next((f) => cat.channel.on("presence_diff", f))
    await join({ n: 2 })
    const { joins, leaves } = await diff
    assert.equal(joins.cat.metas[0].phx_ref_prev, old)
    assert.equal(leaves.cat.metas[0].phx_ref, old)
    assert.deepEqual(cat.presence.list((id, { metas }) => [id, metas.map((m) => m.n)]), [["cat", [2]]])
  })

  it("B.8: the server restarts, and the client rejoins", async () => {
    const own = await open()
    const s = new Socket(address(own), { transport: WebSocket, reconnectAfterMs: () => 20, rejoinAfterMs: () => 20 })
    const closes = []
    s.onClose((e) => closes.push(e.code))
    s.connect()
    const channel = s.channel("room:lobby")
    await replied(channel.join())
    const closed = next((f) => s.onClose(f))
    own.child.kill("SIGTERM")
    assert.equal((await closed).code, 1012)
    await next((done) => s.disconnect(done))
    await own.stop()
  })

  it("its serializer reads what the vectors say", () => {
    assert.equal(Buffer.from(Serializer.binaryEncode({ join_ref: "3", ref: "5", topic: "room:1", event: "upload", payload: new Uint8Array([1, 2, 3]).buffer })).toString("hex"),
      "00010106063335726f6f6d3a3175706c6f6164010203")
  })

  it("what Hotsock publishes is heard, and back", async () => {
    const channel = socket().channel("room:shared")
    await replied(channel.join())
    const hot = new WebSocket(`${server.dev.ws_url}?token=${token({ scope: "connect", channels: { "room:shared": { subscribe: true, messages: { "*": { publish: true } } } } })}`)
    const inbox = []
    let wake = () => {}
    hot.on("message", (data) => (inbox.push(JSON.parse(data)), wake()))
    const see = async (event) => {
      for (;;) {
        const m = inbox.find((m) => m.event === event)
        if (m) return m
        await new Promise((f) => (wake = f))
      }
    }
    await see("hotsock.connected")
    hot.send(JSON.stringify({ event: "hotsock.subscribe", channel: "room:shared" }))
    await see("hotsock.subscribed")
    await replied(channel.push("to hotsock", { "ä": ["\u2028", 1.5] }))
    assert.deepEqual((await see("to hotsock")).data, { "ä": ["\u2028", 1.5] })
    const heard = next((f) => channel.on("to phoenix", f))
    hot.send(JSON.stringify({ event: "to phoenix", channel: "room:shared", data: { n: 2 } }))
    assert.deepEqual(await heard, { n: 2 })
    hot.close()
    await next((f) => hot.on("close", f))
  })
})

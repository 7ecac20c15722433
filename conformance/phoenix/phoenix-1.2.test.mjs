// The unmodified phoenix.js 1.2.1 (V1) against Earshot.
import assert from "node:assert/strict"
import { createRequire } from "node:module"
import { after, before, describe, it } from "node:test"
import { WebSocket, address, open, replied } from "./client.mjs"
import { next } from "../server.mjs"

// It looks for the page that it would run in, and a page's requests.
globalThis.window ??= globalThis
globalThis.XMLHttpRequest ??= class {
  readyState = 0
  #headers = {}
  open(method, url) {
    Object.assign(this, { method, url })
  }
  setRequestHeader(name, value) {
    this.#headers[name] = value
  }
  async send(body) {
    try {
      const answer = await fetch(this.url, { method: this.method, headers: this.#headers, body: body ?? undefined })
      this.responseText = await answer.text()
      Object.assign(this, { status: answer.status, readyState: 4 })
    } catch (error) {
      this.onerror?.(error)
      return
    }
    this.onreadystatechange?.()
  }
}
const { LongPoll, Presence, Socket } = createRequire(import.meta.url)("phoenix-1.2")

describe("phoenix.js 1.2.1", () => {
  let server
  const sockets = []
  before(async () => (server = await open()))
  after(async () => {
    for (const s of sockets) {
      await next((done) => s.disconnect(done))
      clearInterval(s.heartbeatTimer) // its disconnect forgets to
    }
    await server.stop()
  })

  function socket(params = {}) {
    const s = new Socket(address(server), { transport: WebSocket, params })
    sockets.push(s)
    s.connect()
    return s
  }

  it("B.3.1: joins, pushes, hears itself and others, and leaves", async () => {
    const ann = socket().channel("room:v1", {})
    const bob = socket().channel("room:v1", {})
    assert.deepEqual(await replied(ann.join()), {})
    await replied(bob.join())
    const heard = [ann, bob].map((c) => next((f) => c.on("shout", f)))
    assert.deepEqual(await replied(ann.push("shout", { body: "hej" })), {})
    for (const message of await Promise.all(heard)) assert.deepEqual(message, { body: "hej" })
    const closed = next((f) => ann.onClose(f))
    await replied(ann.leave())
    await closed
  })

  it("B.4: rejoins a topic after a new join on the same socket", async () => {
    const s = socket()
    const first = s.channel("room:v1-again", {})
    await replied(first.join())
    await replied(first.leave())
    const second = s.channel("room:v1-again", {})
    await replied(second.join())
    const heard = next((f) => second.on("x", f))
    second.push("x", { y: 1 })
    assert.deepEqual(await heard, { y: 1 })
  })

  it("A.7: the demo's tokens", async () => {
    const jwt = server.token({ aud: "csrf", sub: {}, listen: ["private:*"], publish: [] })
    const s = socket({ guardian_token: "b3BhcXVl", csrf_token: jwt })
    const channel = s.channel("private:x", {})
    assert.deepEqual(await replied(channel.join()), { message: "Joined" })
    await assert.rejects(replied(channel.push("e", {})), { message: "refused" })
    await assert.rejects(replied(s.channel("other", {}).join()), ({ response }) => response === "authentication_required")
  })

  it("B.7: presence by its two functions", async () => {
    const join = async (uid) => {
      const channel = socket({ token: server.token({ uid, listen: ["*"] }) }).channel("presence:v1", {})
      let state = {}
      let wake = () => {}
      channel.on("presence_state", (s) => ((state = Presence.syncState(state, s)), wake()))
      channel.on("presence_diff", (d) => ((state = Presence.syncDiff(state, d)), wake()))
      await replied(channel.join())
      const until = async (...ids) => {
        while (Object.keys(state).sort().join() !== ids.join()) await new Promise((f) => (wake = f))
      }
      await until(...(uid === "ann" ? ["ann"] : ["ann", "bob"]))
      return { channel, until }
    }
    const ann = await join("ann")
    const bob = await join("bob")
    await ann.until("ann", "bob")
    await replied(bob.channel.leave())
    await ann.until("ann")
  })

  it("B.6: long polls", async () => {
    const own = new Socket(address(server), { transport: LongPoll })
    own.connect()
    const ann = own.channel("room:v1-poll", {})
    const bob = socket().channel("room:v1-poll", {})
    assert.deepEqual(await replied(ann.join()), {})
    await replied(bob.join())
    const heard = [ann, bob].map((c) => next((f) => c.on("shout", f)))
    assert.deepEqual(await replied(ann.push("shout", { body: "hej" })), {})
    for (const message of await Promise.all(heard)) assert.deepEqual(message, { body: "hej" })
    const back = next((f) => ann.on("back", f))
    bob.push("back", { n: [1] })
    assert.deepEqual(await back, { n: [1] })
    const closed = next((f) => ann.onClose(f))
    await replied(ann.leave())
    await closed
    own.disconnect()
    clearInterval(own.heartbeatTimer)
  })

  it("B.4: its heartbeat is answered", async () => {
    const s = new Socket(address(server), { transport: WebSocket, heartbeatIntervalMs: 20 })
    sockets.push(s)
    let beats = 0
    const three = next((f) => s.onMessage((m) => m.topic === "phoenix" && m.payload.status === "ok" && ++beats === 3 && f()))
    s.connect()
    await three
  })
})

// The unmodified hotsock-js against Earshot. HOTSOCK_JS is the path of a
// checkout of its repository; without it these tests are skipped, loudly.
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import { Server, channelName, next, sign } from "../server.mjs"
import { load, skip } from "./client.mjs"

describe("hotsock-js", { skip }, () => {
  let server, HotsockClient
  const clients = []

  before(async () => {
    HotsockClient = await load()
    server = await Server.start()
  })
  after(async () => {
    for (const client of clients) client.terminate()
    await server.stop()
  })

  function client(claims = {}, { path = "/v1", ...options } = {}) {
    const url = server.dev.url.replace(/^http/, "ws").replace(/\/$/, "") + path
    const c = new HotsockClient(url, { connectTokenFn: () => server.token({ scope: "connect", ...claims }), logLevel: "silent", ...options })
    clients.push(c)
    return c
  }
  const once = (c, event, options) => next((f) => c.bind(event, f, options))
  const everything = { "*": { subscribe: true, messages: { "*": { publish: true, echo: true } } } }

  for (const path of ["/", "/v1", "/v1/"]) {
    it(`R1 R2 R4 R19: connects at ${path}`, async () => {
      const c = client({ uid: "u1", umd: { name: "Ann" } }, { path })
      const connected = await once(c, "hotsock.connected")
      assert.match(connected.data.connectionId, /^[\w-]{15}=$/)
      assert.match(connected.data.connectionSecret, /^[A-Za-z0-9]{20}$/)
      assert.equal(c.activeConnection.uid, "u1")
      assert.deepEqual(c.activeConnection.umd, { name: "Ann" })
      assert.ok(c.activeConnection.connectionExpiresAt > new Date())
    })
  }

  it("R5 R7 R9 R20: subscribes and hears what the server publishes", async () => {
    const c = client({ channels: everything, uid: "u1" })
    const channel = channelName("r5")
    const heard = once(c, "greeting", { channel })
    const subscribed = await once(c, "hotsock.subscribed")
    assert.equal(subscribed.channel, channel)
    assert.equal(c.channels(channel).uid, "u1")
    const answer = await server.publish({ channel, event: "greeting", data: { text: "hej" } })
    assert.equal(answer.status, 202)
    const message = await heard
    assert.deepEqual(message.data, { text: "hej" })
    assert.match(message.id, /^[0-9A-HJKMNP-TV-Z]{26}$/)
  })

  it("R3 R16: a refused token does not make the client spin", async () => {
    for (const claims of [{ scope: "subscribe" }, { scope: "connect", exp: undefined }]) {
      let asked = 0
      const failed = next((f) => {
        const c = new HotsockClient(server.dev.ws_url, {
          connectTokenFn: () => {
            asked++
            return sign({ alg: "HS256", typ: "JWT", kid: server.dev.signing_key_id }, { ...claims, exp: "exp" in claims ? undefined : Math.floor(Date.now() / 1000) + 60 }, server.dev.signing_key)
          },
          logLevel: "silent",
        })
        clients.push(c)
        let opened = 0
        c.bind("@@connect", () => opened++)
        let errors = 0
        c.bind("@@error", () => ++errors === 2 && f({ opened, c }))
      })
      const { opened, c } = await failed
      c.terminate()
      assert.equal(opened, 0)
      assert.ok(asked <= 3, `the token function was asked ${asked} times`)
    }
  })

  it("R8 R15: comes back after the connection is cut, and subscribes again", async () => {
    const c = client({ channels: everything, uid: "kicked" })
    const channel = channelName("r8")
    const heard = once(c, "after", { channel })
    await once(c, "hotsock.subscribed")
    const before = c.activeConnection.connectionId
    c.activeConnection.ws.terminate()
    await once(c, "hotsock.subscribed")
    assert.notEqual(c.activeConnection.connectionId, before)
    await server.publish({ channel, event: "after", data: 1 })
    assert.equal((await heard).data, 1)
  })

  it("R9: an alias is a name for the real channel", async () => {
    const channel = channelName("r9")
    const c = client({ channels: { [channel]: { subscribe: true, alias: "room", messages: { "*": { publish: true, echo: true } } } } })
    const heard = once(c, "said", { channel: "room" })
    const subscribed = await once(c, "hotsock.subscribed")
    assert.equal(subscribed.channel, channel)
    assert.equal(subscribed.meta.channelAlias, "room")
    c.channels("room").sendMessage("said", { data: "over the alias" })
    const message = await heard
    assert.equal(message.channel, channel)
    assert.equal(message.data, "over the alias")
    const gone = once(c, "hotsock.unsubscribed")
    c.unbind("said", { channel: "room" })
    assert.equal((await gone).channel, channel)
  })

  it("R10 R11: auto-subscribed channels are confirmed and not unsubscribed", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] })
    const channel = channelName("r10")
    const c = client({ channels: { [channel]: { autoSubscribe: true } } })
    const subscribed = await once(c, "hotsock.subscribed")
    assert.equal(subscribed.data.autoSubscribed, true)
    const heard = once(c, "later")
    let unsubscribed = false
    c.bind("hotsock.unsubscribed", () => (unsubscribed = true))
    t.mock.timers.tick(1000) // four rounds of the client's own subscription loop
    await server.publish({ channel, event: "later", data: null })
    await heard
    assert.equal(unsubscribed, false)
  })

  it("R12 R13: ALREADY_SUBSCRIBED and NOT_SUBSCRIBED", async () => {
    const c = client({ channels: { ...everything, "*": { subscribe: true } } })
    const channel = channelName("r12")
    c.bind("x", () => {}, { channel })
    await once(c, "hotsock.subscribed")
    const errors = []
    const two = next((f) => c.bind("hotsock.error", (e) => errors.push(e) === 3 && f()))
    c.sendRawMessage(JSON.stringify({ event: "hotsock.subscribe", channel }))
    c.sendRawMessage(JSON.stringify({ event: "hotsock.unsubscribe", channel: channel + ".other" }))
    c.sendRawMessage(JSON.stringify({ event: "x", channel, data: 1 }))
    await two
    assert.deepEqual([errors[0].error.code, errors[0].channel], ["ALREADY_SUBSCRIBED", channel])
    assert.deepEqual([errors[1].error.code, errors[1].channel], ["NOT_SUBSCRIBED", channel + ".other"])
    assert.notEqual(errors[2].error.code, "NOT_SUBSCRIBED")
  })

  it("R14: a refused subscribe is answered", async () => {
    const c = client({ channels: {} })
    const channel = channelName("r14")
    const failed = once(c, "hotsock.error")
    c.bind("x", () => {}, { channel })
    assert.equal((await failed).error.code, "SUBSCRIBE_PERMISSION_DENIED")
    assert.equal(c.activeConnection.channels[channel].state, "subscribeFailed")
  })

  it("R17: a subscribe token adds permission, and may be used again", async () => {
    const channel = channelName("r17")
    const token = server.token({ scope: "subscribe", uid: "u17", channels: { [channel]: { subscribe: true } } })
    const c = client({ uid: "u17" })
    const given = []
    const subscribeTokenFn = (about) => (given.push(about), token)
    c.bind("x", () => {}, { channel, subscribeTokenFn })
    await once(c, "hotsock.subscribed")
    assert.equal(given[0].channel, channel)
    assert.equal(given[0].connectionId, c.activeConnection.connectionId)
    c.activeConnection.ws.terminate()
    await once(c, "hotsock.subscribed")
    assert.equal(given.length, 2)
  })

  it("R21: ids rise in the order of delivery", async () => {
    const c = client({ channels: everything })
    const channel = channelName("r21")
    const ids = []
    const all = next((f) => c.bind("n", (m) => ids.push(m.id) === 200 && f(), { channel }))
    await once(c, "hotsock.subscribed")
    for (let i = 0; i < 100; i++) {
      c.channels(channel).sendMessage("n", { data: i })
      await server.publish({ channel, event: "n", data: i, store: i % 2 ? 60 : 0 })
    }
    await all
    assert.deepEqual(ids, [...new Set(ids)].sort())
  })
})

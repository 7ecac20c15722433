// The unmodified hotsock-js, and what an application builds on it: presence,
// metadata, storage, reactions, schedules, and the client's HTTP API by fetch.
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import { Server, channelName } from "../server.mjs"
import { load, skip } from "./client.mjs"

describe("hotsock-js and its application", { skip }, () => {
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

  // client connects, and keeps every message; see waits for one that fits.
  function client(claims) {
    const url = server.dev.url.replace(/^http/, "ws").replace(/\/$/, "") + "/v1"
    const c = new HotsockClient(url, { connectTokenFn: () => server.token({ scope: "connect", ...claims }), logLevel: "silent" })
    clients.push(c)
    const seen = []
    let wake = () => {}
    c.bind("@@message", ({ data }) => (seen.push(JSON.parse(data)), queueMicrotask(() => wake())))
    c.see = async (fits) => {
      const wanted = typeof fits === "string" ? (m) => m.event === fits : fits
      for (;;) {
        const i = seen.findIndex(wanted)
        if (i >= 0) return seen.splice(i, 1)[0]
        await new Promise((resolve) => (wake = resolve))
      }
    }
    c.send = (message) => c.sendRawMessage(JSON.stringify(message))
    c.connected = c.see("hotsock.connected")
    return c
  }

  // post asks as a page does: a body of text, and the ids by URLSearchParams.
  async function post(c, call, body) {
    const { connectionId, connectionSecret } = c.activeConnection
    const answer = await fetch(new URL(`/connection/${call}?${new URLSearchParams({ connectionId, connectionSecret })}`, server.dev.url), {
      method: "POST",
      body: JSON.stringify(body),
      headers: { origin: "https://page.example" },
    })
    assert.equal(answer.headers.get("access-control-allow-origin"), "*")
    return { status: answer.status, body: await answer.json() }
  }
  const uids = (c, channel) => c.channels(channel).members.map((m) => m.uid)

  it("R6: three clients agree on who is present", async () => {
    const channel = channelName("presence.r6")
    const claims = { channels: { [channel]: { subscribe: true, getInfo: true } } }
    const join = async (uid, umd) => {
      const c = client({ uid, umd, ...claims })
      c.bind("x", () => {}, { channel })
      await c.see("hotsock.subscribed")
      return c
    }
    const ann = await join("ann", { name: "Ann" })
    assert.deepEqual(ann.channels(channel).members, [{ uid: "ann", umd: { name: "Ann" } }])
    const bob = await join("bob", null)
    const cat = await join("cat", 7)
    await ann.see((m) => m.event === "hotsock.memberAdded" && m.data.member.uid === "cat")
    await bob.see((m) => m.event === "hotsock.memberAdded" && m.data.member.uid === "cat")
    for (const c of [ann, bob, cat]) {
      assert.deepEqual(c.channels(channel).members, [{ uid: "ann", umd: { name: "Ann" } }, { uid: "bob", umd: null }, { uid: "cat", umd: 7 }])
    }
    assert.equal(cat.channels(channel).uid, "cat")
    assert.equal(cat.channels(channel).umd, 7)
    const info = await post(ann, "getChannelInfo", { channel })
    assert.deepEqual(info, { status: 200, body: { channel, subscriptionsCount: 3, members: ann.channels(channel).members } })

    const twin = await join("bob", null) // a second connection of bob is nobody new
    bob.terminate()
    twin.send({ event: "hotsock.unsubscribe", channel: `${channel}.none` })
    await twin.see("hotsock.error")
    assert.deepEqual(uids(cat, channel), ["ann", "bob", "cat"])
    twin.terminate()
    await ann.see((m) => m.event === "hotsock.memberRemoved" && m.data.member.uid === "bob")
    await cat.see((m) => m.event === "hotsock.memberRemoved" && m.data.member.uid === "bob")
    assert.deepEqual(uids(ann, channel), ["ann", "cat"])
    assert.deepEqual(uids(cat, channel), ["ann", "cat"])
  })

  it("presence needs a uid", async () => {
    const c = client({ channels: { "*": { subscribe: true } } })
    const channel = channelName("presence.nobody")
    c.bind("x", () => {}, { channel })
    const error = await c.see("hotsock.error")
    assert.deepEqual([error.error.code, error.channel], ["PRESENCE_CHANNEL_USER_ID_REQUIRED", channel])
  })

  it("metadata is updated while connected", async () => {
    const channel = channelName("presence.umd")
    const claims = { channels: { [channel]: { subscribe: true } } }
    const [ann, bob] = [client({ uid: "ann", umd: 1, ...claims }), client({ uid: "bob", ...claims })]
    for (const c of [ann, bob]) {
      c.bind("x", () => {}, { channel })
      await c.see("hotsock.subscribed")
    }
    const update = (more) => server.token({ scope: "umd", uid: "ann", ...more })
    ann.send({ event: "hotsock.umdUpdate", channel, data: { token: update({ umd: { mood: "busy" }, channels: { [channel]: { umdUpdate: true } } }) } })
    const told = await bob.see("hotsock.memberUpdated")
    assert.deepEqual(told.data.member, { uid: "ann", umd: { mood: "busy" } })
    assert.deepEqual((await ann.see("hotsock.memberUpdated")).data, told.data)
    assert.deepEqual((await ann.see("hotsock.umdUpdated")).meta, { uid: "ann", umd: { mood: "busy" } })
    const answer = await post(ann, "umdUpdate", { token: update({ umd: 3, umdUpdate: true, umdPropagate: true }) })
    assert.deepEqual(answer, { status: 200, body: {} })
    assert.deepEqual((await bob.see("hotsock.memberUpdated")).data.members.find((m) => m.uid === "ann"), { uid: "ann", umd: 3 })
    ann.send({ event: "hotsock.umdUpdate", channel, data: { token: update({ umd: 4 }) } })
    assert.equal((await ann.see("hotsock.error")).error.code, "UMD_UPDATE_PERMISSION_DENIED")
    assert.equal(ann.activeConnection.channels[channel].state, "subscribeConfirmed")
  })

  it("channel storage is set, got, listed and observed", async () => {
    const channel = channelName("storage")
    const writer = client({ uid: "w", channels: { [channel]: { storage: { "*": { set: true, get: true } } } } })
    await writer.connected
    writer.send({ event: "hotsock.channelStorageSet", channel, key: "topic", data: { text: "hej" } })
    writer.send({ event: "hotsock.channelStorageGet", channel, key: "topic" })
    assert.deepEqual(await writer.see("hotsock.channelStorageData"), {
      event: "hotsock.channelStorageData", channel, key: "topic", data: { text: "hej" }, meta: { uid: "w", umd: null },
    })
    const observer = client({ uid: "o", channels: { [channel]: { subscribe: true, storage: { topic: { observe: true } } } } })
    observer.bind("x", () => {}, { channel })
    await observer.see("hotsock.subscribed")
    const first = await observer.see("hotsock.channelStorageUpdated")
    assert.deepEqual([first.key, first.data, first.meta], ["topic", { text: "hej" }, { uid: "w", umd: null }])
    const set = await post(writer, "channelStorageSet", { channel, key: "topic", data: "news" })
    assert.deepEqual(set, { status: 202, body: { channel, event: "hotsock.channelStorageSet" } })
    assert.equal((await observer.see("hotsock.channelStorageUpdated")).data, "news")
    await post(writer, "channelStorageSet", { channel, key: "other", data: 1 }) // nobody observes it
    const list = await post(writer, "channelStorageList", { channel })
    assert.deepEqual(list.body.items.map(({ key, data }) => [key, data]), [["other", 1], ["topic", "news"]])
    const got = await post(writer, "channelStorageGet", { channel, key: "nothing" })
    assert.deepEqual([got.status, got.body.data, got.body.meta], [200, null, null])
    writer.send({ event: "hotsock.channelStorageSet", channel, key: "topic", data: null })
    const cleared = await observer.see("hotsock.channelStorageUpdated")
    assert.deepEqual([cleared.key, cleared.data], ["topic", null])
    const denied = await post(observer, "channelStorageSet", { channel, key: "topic", data: 1 })
    assert.equal(denied.status, 403)
    const admin = await fetch(new URL(`/channels/${encodeURIComponent(channel)}`, server.dev.url), { headers: { authorization: `Bearer ${server.dev.publish_key}` } })
    assert.deepEqual(await admin.json(), { name: channel, subscriptionsCount: 1 })
  })

  it("reactions are told, counted and taken back", async () => {
    const channel = channelName("reactions")
    const may = { subscribe: true, historyStart: 0, messages: { said: { publish: true, echo: true, store: 60, react: true }, "hotsock.messageReaction": { echo: true } } }
    const [ann, bob] = ["ann", "bob"].map((uid) => client({ uid, channels: { [channel]: may } }))
    for (const c of [ann, bob]) {
      c.bind("said", () => {}, { channel })
      await c.see("hotsock.subscribed")
    }
    ann.channels(channel).sendMessage("said", { data: "hej" })
    const { id: messageId } = await bob.see("said")
    const react = (c, action) => c.sendMessage("hotsock.messageReaction", { channel, data: { messageId, reaction: "👍", action } })
    react(bob, "add")
    const added = await ann.see("hotsock.messageReactionAdded")
    assert.deepEqual([added.data, added.meta], [{ messageId, reaction: "👍", action: "add" }, { uid: "bob", umd: null }])
    await bob.see("hotsock.messageReactionAdded") // its claims say echo
    const over = await post(ann, "publishMessage", { channel, event: "hotsock.messageReaction", data: { messageId, reaction: "👍", action: "add" } })
    assert.equal(over.status, 202)
    await bob.see("hotsock.messageReactionAdded")
    const { body } = await post(ann, "listMessages", { channel })
    assert.deepEqual(body.messages[0].reactions, { "👍": { count: 2 } })
    const expanded = await post(ann, "listMessages", { channel, expandReactions: true })
    assert.deepEqual(expanded.body.messages[0].reactions["👍"].items.map((i) => i.uid), ["bob", "ann"])
    react(bob, "remove")
    assert.equal((await ann.see("hotsock.messageReactionRemoved")).data.action, "remove")
    const left = await post(bob, "listReactions", { channel, messageId })
    assert.deepEqual(left.body.reactions.map(({ reaction, uid }) => [reaction, uid]), [["👍", "ann"]])
  })

  it("R22: publishes and reads over HTTP", async () => {
    const channel = channelName("http/with-a-slash")
    const c = client({ uid: "u", channels: { [channel]: { subscribe: true, historyStart: 0, messages: { said: { publish: true, echo: true, store: 60 } } } } })
    const heard = new Promise((resolve) => c.bind("said", resolve, { channel }))
    await c.see("hotsock.subscribed")
    const sent = await post(c, "publishMessage", { channel, event: "said", data: { n: 1 }, eagerIdGeneration: true })
    const { id } = await heard
    assert.deepEqual(sent, { status: 202, body: { channel, event: "said", id } })
    const { body } = await post(c, "listMessages", { channel })
    assert.deepEqual(body.messages, [{ id, event: "said", channel, data: { n: 1 }, meta: { uid: "u", umd: null } }])
    const refused = await post(c, "publishMessage", { channel, event: "cried" })
    assert.deepEqual([refused.status, refused.body.error.code], [403, "PUBLISH_PERMISSION_DENIED"])
    const preflight = await fetch(new URL("/connection/publishMessage", server.dev.url), {
      method: "OPTIONS",
      headers: { origin: "https://page.example", "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
    })
    assert.equal(preflight.status, 204)
    assert.match(preflight.headers.get("access-control-allow-headers"), /content-type/i)
    const admin = await fetch(new URL(`/channels/${encodeURIComponent(channel)}`, server.dev.url), { headers: { authorization: `Bearer ${server.dev.publish_key}` } })
    assert.deepEqual(await admin.json(), { name: channel, subscriptionsCount: 1 })
    c.terminate()
    const gone = await fetch(new URL(`/connection/listMessages?connectionId=x&connectionSecret=y`, server.dev.url), { method: "POST", body: "{}" })
    assert.equal(gone.status, 401)
  })

  it("a message is published at its time", async () => {
    const channel = channelName("later")
    const c = client({ uid: "u", channels: { [channel]: { subscribe: true, messages: { said: { publish: true, echo: true, scheduleBefore: Math.floor(Date.now() / 1000) + 3600 } } } } })
    const heard = new Promise((resolve) => c.bind("said", (m) => resolve([m, Date.now()]), { channel }))
    await c.see("hotsock.subscribed")
    const due = Math.ceil(Date.now() / 1000) * 1000 + 1000
    c.send({ event: "said", channel, data: "later", scheduleExpression: `at(${new Date(due).toISOString().slice(0, 19)})` })
    const [message, when] = await heard
    assert.equal(message.data, "later")
    assert.ok(when >= due && when < due + 1500, `published ${when - due} ms after its time`)
    const far = await post(c, "publishMessage", { channel, event: "said", scheduleExpression: "at(2999-01-01T00:00:00)" })
    assert.equal(far.status, 403)
  })

  it("R18: its heartbeats keep a connection that needs them", async () => {
    const url = server.dev.url.replace(/^http/, "ws").replace(/\/$/, "") + "/v1"
    const c = new HotsockClient(url, { connectTokenFn: () => server.token({ scope: "connect", heartbeatTimeout: 5 }), logLevel: "silent", heartbeatIntervalSeconds: 5 })
    clients.push(c)
    let beats = 0
    const opened = []
    c.bind("@@connect", () => opened.push(Date.now()))
    await new Promise((resolve) => c.bind("@@messageSent", (m) => JSON.stringify(m).includes("hotsock.heartbeat") && ++beats === 3 && resolve()))
    assert.equal(opened.length, 1)
  })
})

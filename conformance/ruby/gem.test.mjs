// The unmodified Ruby gem against Earshot. HOTSOCK_RUBY is the path of a checkout
// of its repository; without it these tests are skipped, loudly. run.sh says what
// Ruby needs besides.
import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import { generateKeyPairSync } from "node:crypto"
import { mkdtemp, writeFile } from "node:fs/promises"
import { createServer, request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import WebSocket from "ws"
import { Server, channelName } from "../server.mjs"

const checkout = process.env.HOTSOCK_RUBY
const lib = checkout && [join(checkout, "lib"), process.env.RUBYLIB].filter(Boolean).join(":")
let why = !checkout && "set HOTSOCK_RUBY to a checkout of github.com/hotsock/hotsock-ruby"
if (!why) {
  const tried = spawnSync("ruby", ["-e", 'require "hotsock"'], { env: { ...process.env, RUBYLIB: lib }, encoding: "utf8" })
  if (tried.status !== 0) why = `ruby cannot load it: ${tried.stderr?.split("\n")[0] ?? tried.error}`
}
if (why) console.error(`SKIPPED: the real Ruby gem was not tested; ${why}`)

// A Gem is a Ruby process that uses the gem.
class Gem {
  constructor(server, env = {}) {
    const all = { PATH: process.env.PATH, RUBYLIB: lib, AWS_ENDPOINT_URL_LAMBDA: server.dev.url, AWS_EC2_METADATA_DISABLED: "true", HOME: server.dir, ...env }
    this.child = spawn("ruby", [fileURLToPath(new URL("gem.rb", import.meta.url)), join(server.dir, "dev.json")], { env: all, stdio: ["pipe", "pipe", "inherit"] })
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }
  async call(what) {
    this.child.stdin.write(JSON.stringify(what) + "\n")
    const { value, done } = await this.lines.next()
    assert.ok(!done, "ruby has ended")
    return JSON.parse(value)
  }
  publish(options, config) {
    return this.call({ do: "publish", options, config })
  }
  async end() {
    this.child.stdin.end()
    await new Promise((resolve) => this.child.once("exit", resolve))
  }
}

// connect opens a WebSocket with a token that the gem issued.
async function connect(server, token) {
  const socket = new WebSocket(`${server.dev.ws_url}?token=${token}`)
  const heard = []
  let wake
  socket.on("message", (text) => {
    heard.push(JSON.parse(text))
    wake?.()
  })
  socket.on("error", (error) => {
    heard.push({ event: "refused", error })
    wake?.()
  })
  let from = 0
  const event = async (name) => {
    for (;;) {
      for (; from < heard.length; from++) {
        if (heard[from].event === name) return heard[from++]
        if (heard[from].event === "refused") throw heard[from].error
      }
      await new Promise((resolve) => (wake = resolve))
    }
  }
  await event("hotsock.connected")
  return { event, heard, send: (frame) => socket.send(JSON.stringify(frame)), close: () => socket.close() }
}

// A Fault stands before the server and passes requests on as they come, but for
// the first ones: those it refuses, or loses the answers of.
class Fault {
  static async start(target) {
    const fault = new Fault()
    fault.attempts = []
    fault.server = createServer((incoming, outgoing) => fault.handle(target, incoming, outgoing))
    await new Promise((resolve) => fault.server.listen(0, "127.0.0.1", resolve))
    fault.url = `http://127.0.0.1:${fault.server.address().port}/some/prefix`
    return fault
  }
  handle(target, incoming, outgoing) {
    this.attempts.push(incoming.headers["amz-sdk-invocation-id"])
    if (this.refuse > 0) {
      this.refuse--
      incoming.resume()
      outgoing.writeHead(503).end()
      return
    }
    const on = request(new URL(incoming.url, target), { method: incoming.method, headers: incoming.headers }, (answer) => {
      if (this.lose > 0) {
        this.lose--
        answer.resume().on("end", () => outgoing.destroy())
        return
      }
      outgoing.writeHead(answer.statusCode, answer.rawHeaders)
      answer.pipe(outgoing)
    })
    incoming.pipe(on)
  }
  stop() {
    this.server.close()
    this.server.closeAllConnections()
  }
}

describe("the Ruby gem", { skip: why }, () => {
  let server, gem, fault, through
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const pem = (key) => Buffer.from(key.export({ type: "spki", format: "pem" })).toString("base64")

  before(async () => {
    const dir = await mkdtemp(join(tmpdir(), "earshot-"))
    await writeFile(
      join(dir, "earshot.toml"),
      `[[apps]]
slug = "dev"
publish_keys = ["a-publish-key"]
audience = "rt"
issuer = "backend"

[[apps.signing_keys]]
id = "hs"
alg = "HS256"
key = "${Buffer.from("a secret of more than thirty-two bytes").toString("base64")}"

[[apps.signing_keys]]
id = "es"
alg = "ES256"
key = "${pem(ec.publicKey)}"

[[apps.signing_keys]]
id = "rs"
alg = "RS512"
key = "${pem(rsa.publicKey)}"

[[apps.access_keys]]
id = "AKWIDE"
secret = "wide"

[[apps.access_keys]]
id = "AKNARROW"
secret = "narrow"
allow = ["lambda:InvokeFunction:another-*"]
`,
      { mode: 0o600 },
    )
    server = await Server.start({ dir })
    gem = new Gem(server)
    fault = await Fault.start(server.dev.url)
    through = new Gem(server, { AWS_ENDPOINT_URL_LAMBDA: fault.url })
  })
  after(async () => {
    await gem.end()
    await through.end()
    fault.stop()
    await server.stop()
  })

  const claims = { scope: "connect subscribe", uid: "jim", umd: null }
  const standard = { issuer_aud_claim: "rt", issuer_iss_claim: "backend", issuer_iat_claim: true, issuer_jti_claim: true }
  const issue = async (more, config = {}) => (await gem.call({ do: "issue", claims: { ...claims, ...more }, config: { ...standard, ...config } })).token
  const listen = async (channel) => {
    const c = await connect(server, await issue({ channels: { [channel]: { autoSubscribe: true, historyStart: 0 } } }))
    await c.event("hotsock.subscribed")
    return c
  }

  it("publishes with every option", async () => {
    const channel = channelName("gem")
    const c = await listen(channel)
    const got = await gem.publish({
      channel, event: "myevent", data: { a: [1, "é", null] }, deduplication_id: "d1", eager_id_generation: true, emit_pub_sub_event: true,
      store: 100, anything: { else: 1 }, schedule_expression: "is not an option",
    })
    const heard = await c.event("myevent")
    assert.deepEqual(got, { status: 200, function_error: null, executed_version: "$LATEST", payload: { channel, event: "myevent", id: heard.id } })
    assert.deepEqual(heard, { id: heard.id, event: "myevent", channel, data: { a: [1, "é", null] } })
    // Published again under its key, it is a success that nobody hears of.
    const again = await gem.publish({ channel, event: "myevent", deduplication_id: "d1", eager_id_generation: true })
    assert.equal(again.status, 200)
    assert.match(again.payload.id, /^[0-9A-HJKMNP-TV-Z]{26}$/)
    assert.notEqual(again.payload.id, heard.id)
    // What is false or nil goes under the names of Ruby.
    const plain = await gem.publish({ channel, event: "plain", data: false, deduplication_id: null, eager_id_generation: false, emit_pub_sub_event: false })
    assert.deepEqual(plain.payload, { channel, event: "plain" })
    assert.equal((await c.event("plain")).data, false)
    assert.equal(c.heard.filter((f) => f.event === "myevent").length, 1)
    c.close()
  })

  it("publishes with rising ids", async () => {
    const channel = channelName("gem")
    const c = await listen(channel)
    let last = ""
    for (let n = 0; n < 20; n++) {
      const { payload } = await gem.publish({ channel, event: "n", data: n, eager_id_generation: true })
      assert.ok(payload.id > last)
      last = payload.id
      const heard = await c.event("n")
      assert.deepEqual([heard.id, heard.data], [payload.id, n])
    }
    c.close()
  })

  it("writes storage, reacts, and publishes at a time", async () => {
    const channel = channelName("gem")
    const c = await connect(server, await issue({ channels: { [channel]: { autoSubscribe: true, storage: { "*": { observe: true } } } } }))
    await c.event("hotsock.subscribed")
    const written = await gem.publish({ channel, event: "hotsock.channelStorageSet", key: "k", data: { a: 1 }, store: 60, deduplication_id: "w1" })
    assert.deepEqual(written.payload, { channel, event: "hotsock.channelStorageSet" })
    const update = await c.event("hotsock.channelStorageUpdated")
    assert.deepEqual([update.channel, update.key, update.data], [channel, "k", { a: 1 }])

    const { payload } = await gem.publish({ channel, event: "said", store: 60, eager_id_generation: true })
    const data = { messageId: payload.id, reaction: "👍", action: "add", uid: "ann" }
    assert.equal((await gem.publish({ channel, event: "hotsock.messageReaction", data })).function_error, null)
    const reacted = await c.event("hotsock.messageReactionAdded")
    assert.deepEqual([reacted.data.messageId, reacted.data.reaction, reacted.meta.uid], [payload.id, "👍", "ann"])

    const at = new Date(Date.now() + 3000)
    const local = at.toLocaleString("sv-SE", { timeZone: "Asia/Kolkata" }).replace(" ", "T")
    const later = await gem.publish({ channel, event: "later", data: 7, scheduleExpression: `at(${local})`, scheduleExpressionTimezone: "Asia/Kolkata" })
    assert.match(later.payload.scheduleArn, /^arn:aws:scheduler:[a-z0-9-]+:\d{12}:schedule\/dev\/[0-9A-Z]{26}$/)
    const heard = await c.event("later")
    const late = Date.now() - Math.floor(at / 1000) * 1000
    assert.ok(late >= 0 && late < 2000, `it came ${late} ms after its second`)
    assert.equal(heard.data, 7)
    const past = await gem.publish({ channel, event: "later", scheduleExpression: "at(2020-01-01T00:00:00)" })
    assert.equal(past.function_error, "Unhandled")
    c.close()
  })

  it("returns what the function refuses", async () => {
    for (const [options, type] of [
      [{ channel: "a b", event: "e" }, "CHANNEL_NAME"],
      [{ channel: "c", event: "hotsock.connected" }, "EVENT_RESERVED"],
      [{ channel: "c", event: "e", store: -2 }, "STORE"],
      [{ channel: "c", event: "e", data: "x".repeat(33 << 10) }, "MESSAGE_TOO_LARGE"],
    ]) {
      const got = await gem.publish(options)
      assert.equal(got.status, 200)
      assert.equal(got.function_error, "Unhandled")
      assert.equal(got.payload.errorType, type)
      assert.ok(got.payload.errorMessage)
    }
  })

  for (const [name, config, error, message] of [
    ["a wrong secret", { aws_secret_access_key: "wrong" }, "InvalidSignatureException", /signature we calculated does not match/],
    ["an unknown key", { aws_access_key_id: "AKNONE" }, "UnrecognizedClientException", /security token included in the request is invalid/],
    ["a key for another function", { aws_access_key_id: "AKNARROW", aws_secret_access_key: "narrow" }, "AccessDeniedException", /AKNARROW is not authorized to perform: lambda:InvokeFunction/],
    ["no such name of a function", { publish_function_arn: "arn:aws:s3:::bucket" }, "ValidationException", /functionName/],
  ]) {
    it(`raises on ${name}, and does not try again`, async () => {
      fault.attempts = []
      const got = await through.publish({ channel: "c", event: "e" }, config)
      assert.equal(got.error, `Aws::Lambda::Errors::${error}`, got.message)
      assert.match(got.message, message)
      assert.equal(fault.attempts.length, 1)
    })
  }

  it("publishes by a bare name that its key allows", async () => {
    const config = { aws_access_key_id: "AKNARROW", aws_secret_access_key: "narrow", publish_function_arn: "another-function" }
    assert.equal((await gem.publish({ channel: "c", event: "e" }, config)).status, 200)
  })

  it("tries again, through a prefix, and publishes once", async () => {
    fault.attempts = []
    const channel = channelName("gem")
    const c = await listen(channel)
    fault.refuse = 2
    const refused = await through.publish({ channel, event: "refused", eager_id_generation: true })
    assert.equal(refused.payload.id, (await c.event("refused")).id)
    assert.equal(fault.attempts.length, 3)
    fault.lose = 1
    const lost = await through.publish({ channel, event: "lost", eager_id_generation: true })
    assert.equal(lost.payload.id, (await c.event("lost")).id)
    assert.equal(fault.attempts.length, 5)
    assert.ok(fault.attempts[0] && fault.attempts[0] === fault.attempts[2] && fault.attempts[3] === fault.attempts[4])
    await gem.publish({ channel, event: "end" })
    await c.event("end")
    assert.equal(c.heard.filter((f) => f.event === "lost").length, 1)
    fault.refuse = 99
    const never = await through.publish({ channel, event: "never" })
    assert.match(never.error, /^Aws::Lambda::Errors::/)
    assert.equal(fault.attempts.length, 9)
    fault.refuse = 0
    c.close()
  })

  it("is told what to set if it asks for a role here", async () => {
    const everything = new Gem(server, { AWS_ENDPOINT_URL_LAMBDA: "", AWS_ENDPOINT_URL: server.dev.url })
    const got = await everything.publish({ channel: "c", event: "e" }, { aws_assume_role_arn: "arn:aws:iam::111111111111:role/publisher" })
    assert.equal(got.error, "Aws::STS::Errors::InvalidAction")
    assert.match(got.message, /Set AWS_ENDPOINT_URL_LAMBDA/)
    await everything.end()
  })

  for (const [alg, config] of [
    ["HS256", {}],
    ["ES256", { issuer_key_algorithm: "ES256", issuer_key_id: "es", issuer_private_key: ec.privateKey.export({ type: "sec1", format: "pem" }) }],
    ["ES256 in PKCS#8", { issuer_key_algorithm: "ES256", issuer_key_id: "es", issuer_private_key: ec.privateKey.export({ type: "pkcs8", format: "pem" }) }],
    ["RS512", { issuer_key_algorithm: "RS512", issuer_key_id: "rs", issuer_private_key: rsa.privateKey.export({ type: "pkcs1", format: "pem" }) }],
  ]) {
    it(`issues tokens that connect: ${alg}`, async () => {
      const c = await connect(server, await issue({}, config))
      assert.deepEqual(c.heard[0].meta, { uid: "jim", umd: null })
      c.close()
    })
  }

  it("issues tokens with members that come twice: the last counts", async () => {
    const strings = { scope: "connect", uid: "ann", exp: Math.floor(Date.now() / 1000) + 60, aud: "rt" }
    const { token } = await gem.call({ do: "issue_strings", claims: strings, config: { ...standard, issuer_aud_claim: "another", issuer_token_ttl: -1000 } })
    const c = await connect(server, token)
    assert.equal(c.heard[0].meta.uid, "ann")
    c.close()
    const { token: late } = await gem.call({ do: "issue_strings", claims: { ...strings, exp: 1 }, config: standard })
    assert.ok(Buffer.from(late.split(".")[1], "base64url").toString().match(/"exp".*"exp"/))
    await assert.rejects(connect(server, late), /401/)
  })

  it("issues tokens that subscribe, again and again", async () => {
    const channel = channelName("gem")
    const token = await issue({ scope: "subscribe", channels: { [channel]: { omitFromSubCount: true, subscribe: true } } })
    const c = await connect(server, await issue({ scope: "connect" }))
    for (let n = 0; n < 3; n++) {
      c.send({ event: "hotsock.subscribe", channel, data: { token } })
      assert.equal((await c.event("hotsock.subscribed")).channel, channel)
      await gem.publish({ channel, event: `n${n}` })
      await c.event(`n${n}`)
      c.send({ event: "hotsock.unsubscribe", channel })
      await c.event("hotsock.unsubscribed")
    }
    c.close()
  })
})

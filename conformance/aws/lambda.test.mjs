// The unmodified AWS SDK for JavaScript publishes through Lambda's Invoke, and so
// does boto3 where Python has it.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda"
import WebSocket from "ws"
import { Server, channelName } from "../server.mjs"

let server

before(async () => {
  server = await Server.start()
})
after(() => server.stop())

// listen subscribes to a channel and returns the list of what it hears.
async function listen(channel) {
  const token = server.token({ scope: "connect", channels: { [channel]: { autoSubscribe: true } } })
  const socket = new WebSocket(`${server.dev.ws_url}?token=${token}`)
  const heard = []
  let wake
  socket.on("message", (text) => {
    heard.push(JSON.parse(text))
    wake?.()
  })
  const event = async (name) => {
    for (;;) {
      const found = heard.find((frame) => frame.event === name)
      if (found) return found
      await new Promise((resolve) => (wake = resolve))
    }
  }
  await event("hotsock.subscribed")
  return { event, heard, close: () => socket.close() }
}

describe("@aws-sdk/client-lambda", () => {
  // environment is what an application sets, and all that it sets.
  const environment = (over = {}) => {
    const all = {
      AWS_ENDPOINT_URL_LAMBDA: server.dev.url,
      AWS_ACCESS_KEY_ID: server.dev.aws_access_key_id,
      AWS_SECRET_ACCESS_KEY: server.dev.aws_secret_access_key,
      AWS_SESSION_TOKEN: "",
      AWS_REGION: server.dev.aws_region,
      AWS_CONFIG_FILE: "/dev/null",
      AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
      ...over,
    }
    for (const [name, value] of Object.entries(all)) {
      if (value === "") delete process.env[name]
      else process.env[name] = value
    }
  }
  const invoke = async (over, input = {}, tamper) => {
    environment(over)
    const client = new LambdaClient({})
    let sent = 0
    client.middlewareStack.add(
      (next) => (args) => {
        sent++
        tamper?.(args.request)
        return next(args)
      },
      { step: "finalizeRequest", priority: "low", name: "tamper" },
    )
    try {
      const { Payload = "{}", ...rest } = input
      const out = await client.send(new InvokeCommand({ FunctionName: server.dev.function_arn, Payload, ...rest }))
      return { out, sent, body: Buffer.from(out.Payload ?? []).toString() }
    } catch (error) {
      return { error, sent }
    } finally {
      client.destroy()
    }
  }
  const message = (channel, more = {}) => JSON.stringify({ channel, event: "e", data: { n: 1 }, ...more })

  for (const [name, over, input] of [
    ["by ARN", {}, {}],
    ["by name", {}, { FunctionName: "my-fn" }],
    ["by a qualified name", {}, { FunctionName: "my-fn", Qualifier: "prod" }],
    ["with a prefix", { prefix: "some/prefix" }, {}],
    ["with a prefix and a slash", { prefix: "some/prefix/" }, {}],
    ["with a session token", { AWS_SESSION_TOKEN: "IQoJb3JpZ2luX2VjE//of+an/assumed==role" }, {}],
  ]) {
    it(`publishes ${name}`, async () => {
      const channel = channelName("aws")
      const listener = await listen(channel)
      const { prefix = "", ...rest } = over
      const { out, body, error } = await invoke(
        { AWS_ENDPOINT_URL_LAMBDA: server.dev.url + prefix, ...rest },
        { Payload: message(channel, { eagerIdGeneration: true }), ...input },
      )
      assert.ifError(error)
      assert.equal(out.StatusCode, 200)
      assert.equal(out.FunctionError, undefined)
      assert.equal(out.ExecutedVersion, "$LATEST")
      const answer = JSON.parse(body)
      const heard = await listener.event("e")
      assert.deepEqual(answer, { channel, event: "e", id: heard.id })
      assert.deepEqual(heard.data, { n: 1 })
      listener.close()
    })
  }

  it("publishes as an event, and not on a dry run", async () => {
    const channel = channelName("aws")
    const listener = await listen(channel)
    const dry = await invoke({}, { InvocationType: "DryRun", Payload: message(channel, { data: "dry" }) })
    assert.equal(dry.out?.StatusCode, 204)
    const event = await invoke({}, { InvocationType: "Event", Payload: message(channel, { data: "event" }) })
    assert.equal(event.out?.StatusCode, 202)
    assert.equal(event.body, "")
    assert.equal((await listener.event("e")).data, "event")
    listener.close()
  })

  for (const [name, over, tamper, exception, text] of [
    ["a wrong secret", { AWS_SECRET_ACCESS_KEY: "wrong" }, null, "InvalidSignatureException", /signature we calculated does not match/],
    ["an unknown key", { AWS_ACCESS_KEY_ID: "AKNONE" }, null, "UnrecognizedClientException", /security token included in the request is invalid/],
    ["a tampered body", {}, (r) => (r.body = Buffer.from(r.body.toString().replace("1", "2"))), "InvalidSignatureException", /./],
    ["an old date", {}, (r) => (r.headers["x-amz-date"] = "20260101T000000Z"), "InvalidSignatureException", /./],
    ["no signature", {}, (r) => delete r.headers.authorization, "MissingAuthenticationTokenException", /Missing Authentication Token/],
  ]) {
    it(`is refused with ${name}`, async () => {
      const { error, sent } = await invoke(over, { Payload: message(channelName("aws")) }, tamper)
      assert.equal(error?.name, exception)
      assert.match(error.message, text)
      assert.equal(error.$metadata.httpStatusCode, 403)
      assert.match(error.$metadata.requestId, /^[0-9a-f-]{36}$/)
      assert.equal(sent, 1)
    })
  }

  it("is told what the function refuses, and what no function takes", async () => {
    const bad = await invoke({}, { Payload: '{"channel":"a b","event":"e"}' })
    assert.equal(bad.out?.FunctionError, "Unhandled")
    assert.equal(JSON.parse(bad.body).errorType, "CHANNEL_NAME")
    const torn = await invoke({}, { Payload: '{"channel"' })
    assert.equal(torn.error?.name, "InvalidRequestContentException")
    const large = await invoke({}, { Payload: '"' + "x".repeat(1 << 20) + '"' })
    assert.equal(large.error?.name, "RequestEntityTooLargeException")
  })
})

const python = ["/usr/bin/python3", "python3"].find((p) => spawnSync(p, ["-c", "import boto3"]).status === 0)
if (!python) console.error("SKIPPED: boto3 was not tested; install python3-boto3")

describe("boto3", { skip: !python && "there is no boto3" }, () => {
  const script = fileURLToPath(new URL("publish.py", import.meta.url))
  const publish = (secret, payload) => {
    const { dev } = server
    const env = {
      PATH: process.env.PATH, AWS_ACCESS_KEY_ID: dev.aws_access_key_id, AWS_SECRET_ACCESS_KEY: secret, AWS_DEFAULT_REGION: dev.aws_region,
      AWS_EC2_METADATA_DISABLED: "true", AWS_CONFIG_FILE: "/dev/null",
    }
    const run = spawnSync(python, [script, dev.url, dev.function_arn, payload], { env, encoding: "utf8" })
    assert.equal(run.status, 0, run.stderr)
    return JSON.parse(run.stdout)
  }

  it("publishes", async () => {
    const channel = channelName("boto")
    const listener = await listen(channel)
    const got = publish(server.dev.aws_secret_access_key, JSON.stringify({ channel, event: "e", data: "é", eagerIdGeneration: true }))
    const heard = await listener.event("e")
    assert.deepEqual(got, { status: 200, function_error: null, payload: { channel, event: "e", id: heard.id } })
    listener.close()
  })

  it("is refused with a wrong secret, and told what the function refuses", () => {
    assert.deepEqual(publish("wrong", "{}"), { error: "InvalidSignatureException", status: 403 })
    const got = publish(server.dev.aws_secret_access_key, "{}")
    assert.equal(got.function_error, "Unhandled")
    assert.equal(got.payload.errorType, "MEMBER_MISSING")
  })
})

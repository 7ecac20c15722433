// Functions that are built on AWS's own libraries for Go, run by `earshot dev`: the
// tutorial's, its asynchronous story, and functions that misbehave.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda"
import WebSocket from "ws"

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const binary = process.env.EARSHOT ?? here("../../bin/earshot")

// A Dev is an `earshot dev` with functions.
class Dev {
  static async start(functions, ...args) {
    const dev = new Dev()
    dev.dir = await mkdtemp(join(tmpdir(), "earshot-functions-"))
    dev.child = spawn(binary, ["dev", "--listen", "127.0.0.1:0", "--data", dev.dir, "--functions", here(functions), ...args], { stdio: ["ignore", "pipe", "pipe"] })
    const exited = new Promise((resolve) => dev.child.once("exit", resolve))
    dev.exited = exited
    dev.log = ""
    let said = ""
    dev.child.stderr.on("data", (chunk) => (dev.log += chunk))
    await new Promise((resolve, reject) => {
      dev.child.stdout.on("data", (chunk) => (said += chunk).includes("Ctrl-C stops.") && resolve())
      exited.then((code) => reject(new Error(`earshot ended with ${code}:\n${said}${dev.log}`)))
    })
    Object.assign(dev, JSON.parse(await readFile(join(dev.dir, "dev.json"), "utf8")))
    return dev
  }

  // send calls a function with AWS's SDK, by the key of dev.json.
  send(FunctionName, event, InvocationType) {
    const client = new LambdaClient({
      endpoint: this.url, region: this.aws_region,
      credentials: { accessKeyId: this.aws_access_key_id, secretAccessKey: this.aws_secret_access_key },
    })
    return client.send(new InvokeCommand({ FunctionName, InvocationType, Payload: JSON.stringify(event) }))
  }

  // invoke resolves to what a function answers.
  async invoke(name, event) {
    const answer = await this.send(name, event)
    const payload = Buffer.from(answer.Payload).toString()
    assert.equal(answer.FunctionError, undefined, payload)
    return JSON.parse(payload)
  }

  async stop() {
    this.child.kill("SIGTERM")
    assert.equal(await this.exited, 0, this.log)
    await rm(this.dir, { recursive: true, force: true })
  }
}

// A Queue is where functions send what they have to say, as they would to SQS.
class Queue {
  messages = []

  static async start() {
    const queue = new Queue()
    queue.server = createServer(async (request, response) => {
      const chunks = []
      for await (const chunk of request) chunks.push(chunk)
      assert.equal(request.headers["x-amz-target"], "AmazonSQS.SendMessage")
      const { MessageBody } = JSON.parse(Buffer.concat(chunks).toString())
      queue.messages.push(JSON.parse(MessageBody))
      queue.wake?.()
      response.setHeader("content-type", "application/x-amz-json-1.0")
      response.end(JSON.stringify({ MessageId: `${queue.messages.length}`, MD5OfMessageBody: createHash("md5").update(MessageBody).digest("hex") }))
    })
    await new Promise((resolve) => queue.server.listen(0, "127.0.0.1", resolve))
    queue.url = `http://127.0.0.1:${queue.server.address().port}`
    return queue
  }

  // next resolves to what was sent first of what nobody took.
  async next() {
    while (this.messages.length === 0) await new Promise((resolve) => (this.wake = resolve))
    return this.messages.shift()
  }

  async stop() {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

// connect resolves to a connection, and what it hears one after another.
async function connect(url) {
  const socket = new WebSocket(url)
  const heard = []
  let wake
  socket.on("message", (data) => {
    heard.push(data.toString())
    wake?.()
  })
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject))
  const next = async () => {
    while (heard.length === 0) await new Promise((resolve) => (wake = resolve))
    return heard.shift()
  }
  const ask = (text) => (socket.send(text), next())
  return { socket, heard, next, ask }
}

// refused resolves to the status of a handshake.
const refused = (url) =>
  new Promise((resolve) => {
    const socket = new WebSocket(url)
    socket.on("open", () => (socket.close(), resolve(101))).on("error", () => {})
    socket.on("unexpected-response", (request, response) => (response.resume(), request.destroy(), resolve(response.statusCode)))
  })

// wscat runs it until it has printed so many lines.
async function wscat(lines, ...args) {
  const child = spawn(here("../node_modules/.bin/wscat"), args, { stdio: ["pipe", "pipe", "pipe"] })
  let out = ""
  let err = ""
  child.stdout.on("data", (chunk) => {
    out += chunk
    if (out.split("\n").length > lines) child.stdin.end()
  })
  child.stderr.on("data", (chunk) => (err += chunk))
  const code = await new Promise((resolve) => child.once("close", resolve))
  return { code, out, err }
}

const frame = (message) => new RegExp(`^\\{"message": "${message}", "connectionId":"[\\w-]{15}=", "requestId":"[\\w-]{15}="\\}$`)

describe("the tutorial's functions", { timeout: 120_000 }, () => {
  let dev
  before(async () => (dev = await Dev.start("../../function/testdata/tutorial")))
  after(() => dev.stop())

  it("speak with wscat as the tutorial's reader would", async () => {
    const message = '{"message": "hello Matteo", "action": "pushtowebsocket"}'
    const got = await wscat(2, "-c", `${dev.gateway_url}?Auth=myFakeToken`, "-w", "100", "-x", message, "-x", message)
    assert.deepEqual(got, { code: 0, out: "Hello there!\nHello there!\n", err: "" })
    const nope = await wscat(1, "-c", `${dev.gateway_url}/?Auth=myFakeToken`, "-w", "100", "-x", '{"action":"nope"}')
    assert.match(nope.out.trim(), frame("Forbidden"))
  })

  it("refuse who shows nothing, another token, or one that is denied", async () => {
    for (const [query, status] of [["", 401], ["?Auth=", 401], ["?Auth=other", 401], ["?Auth=deny", 403], ["?Auth=crash", 500]]) {
      const got = await wscat(1, "-c", dev.gateway_url + query)
      assert.deepEqual(got, { code: 255, out: "", err: `error: Unexpected server response: ${status}\n` }, query)
    }
  })
})

describe("functions of a template", { timeout: 120_000 }, () => {
  let dev
  let queue
  before(async () => {
    queue = await Queue.start()
    dev = await Dev.start("testdata/functions", "--set", "Environment=dev", "--set", `Queue=${queue.url}`)
  })
  after(async () => {
    await dev.stop()
    await queue.stop()
  })

  it("take a client's request to a queue, and a worker answers it later", async () => {
    const client = await connect(`${dev.gateway_url}?Auth=myFakeToken`)
    const id = (await queue.next()).requestContext.connectionId
    const question = '{"action":"ask","question":"wörld?"}'
    client.socket.send(question)
    const job = await queue.next()
    assert.deepEqual([job.connectionId, job.question], [id, question])
    const event = { Records: [{ messageId: "1", eventSource: "aws:sqs", body: JSON.stringify(job) }] }
    assert.deepEqual(await dev.invoke(job.worker, event), ["answered"])
    assert.equal(await client.next(), `the answer to ${question}`)
    assert.deepEqual(client.heard, [], "the route itself answers nothing")
    client.socket.close()
    const end = await queue.next()
    assert.deepEqual([end.requestContext.eventType, end.requestContext.connectionId], ["DISCONNECT", id])
    assert.deepEqual(await dev.invoke(job.worker, event), ["GoneException"])
  })

  it("decode their events into the structs of aws-lambda-go, which knows every member", async () => {
    const socket = new WebSocket(`${dev.gateway_url}?Auth=myFakeToken&x=a%20b&x=c`, ["chat1", "chat2"], { headers: { "User-Agent": "tester", HeaderAuth1: "v" } })
    socket.on("error", () => {}) // it chooses no protocol
    const began = await queue.next()
    const connected = began.requestContext
    assert.deepEqual([began.queryStringParameters.x, began.multiValueQueryStringParameters.x], ["c", ["a b", "c"]])
    assert.deepEqual([began.headers.HeaderAuth1, began.headers["Sec-WebSocket-Protocol"], began.headers.Upgrade], ["v", "chat1,chat2", undefined])
    assert.deepEqual(began.stageVariables, { colour: "blue" })
    assert.deepEqual([connected.eventType, connected.routeKey, connected.stage, connected.messageDirection], ["CONNECT", "$connect", "dev", "IN"])
    assert.deepEqual([connected.identity.sourceIp, connected.identity.userAgent], ["127.0.0.1", "tester"])
    assert.ok(Math.abs(Date.now() - connected.connectedAt) < 300_000 && connected.requestTimeEpoch >= connected.connectedAt)
    assert.match(connected.requestTime, /^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/)
    assert.equal(connected.requestId, connected.extendedRequestId)
    const arn = new RegExp(`^arn:aws:execute-api:${dev.aws_region}:\\d{12}:${connected.apiId}/dev/\\$connect$`)
    const { integrationLatency, arn: asked, ...context } = connected.authorizer
    assert.match(asked, arn)
    assert.deepEqual(context, {
      principalId: "my-username", type: "REQUEST", colour: "blue", upgrade: "websocket", stage: "dev", api: connected.apiId, ip: "127.0.0.1", n: "1", yes: "true",
    })
    const ended = await queue.next() // its client wants one of its protocols
    assert.equal(ended.requestContext.eventType, "DISCONNECT")

    const client = await connect(`${dev.gateway_url}?Auth=myFakeToken`)
    await queue.next()
    client.socket.send('{"action":"ask"}')
    const { event } = await queue.next()
    assert.deepEqual([event.body, event.requestContext.eventType, event.requestContext.routeKey], ['{"action":"ask"}', "MESSAGE", "ask"])
    assert.equal(event.requestContext.authorizer.principalId, "my-username")
    assert.match(event.requestContext.messageId, /^[\w-]{15}=$/)
    assert.deepEqual([event.headers, event.queryStringParameters], [undefined, undefined])
    client.socket.close()
    const end = await queue.next()
    assert.deepEqual([end.requestContext.disconnectStatusCode, end.requestContext.disconnectReason], [1005, "Client-side close frame status not set"])
    assert.equal(end.requestContext.authorizer.principalId, "my-username")
    assert.deepEqual(Object.keys(end.headers).sort(), ["Host", "X-Forwarded-For", "x-api-key", "x-restapi"])
  })

  it("are called by AWS's SDK in each of its ways", async () => {
    const event = (connectionId) => ({ requestContext: { connectionId } })
    assert.equal((await dev.send("Tell", event("dry"), "DryRun")).StatusCode, 204)
    assert.equal((await dev.send("Tell", event("later"), "Event")).StatusCode, 202)
    assert.equal((await queue.next()).requestContext.connectionId, "later")
    assert.deepEqual(await dev.invoke("Echo", { body: "wörld" }), { statusCode: 200, headers: null, multiValueHeaders: null, body: "wörld" })
    const crashed = await dev.send("Misbehave", { body: "crash" })
    assert.equal(crashed.FunctionError, "Unhandled")
    assert.equal(JSON.parse(Buffer.from(crashed.Payload).toString()).errorMessage, "ouch")
    assert.deepEqual(queue.messages, [], "a dry run runs nothing")
  })

  it("that misbehave are told to their client, and nobody else notices", async (t) => {
    const url = dev.gateway_url.replace(/dev$/, "harm")
    const [bad, good] = await Promise.all([connect(url), connect(url)])
    const echo = async (n) => {
      const text = JSON.stringify({ action: "echo", n })
      const began = performance.now()
      assert.equal(await good.ask(text), text)
      return performance.now() - began
    }
    await echo(0) // its first process starts
    const calm = []
    for (let n = 0; n < 200; n++) calm.push(await echo(n))

    let done = false
    const beside = []
    const others = (async () => {
      for (let n = 0; !done || n < 200; n++) beside.push(await echo(n))
    })()
    const took = []
    const timed = async (what, call) => {
      const began = performance.now()
      const got = await call()
      took.push(`${what} ${Math.round(performance.now() - began)} ms`)
      return got
    }
    try {
      for (const what of ["fail", "crash", "exit", "garbage", "wrong", "large", "hang"]) {
        const [told, status] = await Promise.all([
          timed(what, () => bad.ask(what)),
          timed(`${what} at the handshake`, () => refused(`${url}?do=${what}`)),
        ])
        assert.match(told, frame("Internal server error"), what)
        assert.equal(status, 502, what)
      }
      bad.socket.send('{"action":"flood"}')
      assert.equal(await timed("flood", () => bad.ask('{"action":"echo"}')), '{"action":"echo"}') // one after another
      bad.socket.pause()
      bad.socket.send('{"action":"pour"}')
      const { posted } = await timed("pour", () => queue.next())
      bad.socket.resume()
      for (let n = 0; n < posted; n++) assert.equal((await bad.next()).split(" ")[0], `${n}`)
      assert.equal(await bad.ask('{"action":"echo"}'), '{"action":"echo"}', "it is there, and nothing was added")
      t.diagnostic(`${posted} posts of 100 KiB were taken for a client that did not read, and it heard them all`)
    } finally {
      done = true
      await others
    }
    const figures = (all) => {
      all.sort((a, b) => a - b)
      return `median ${all[all.length >> 1].toFixed(2)} ms, 99 of 100 in ${all[Math.floor(all.length * 0.99)].toFixed(2)} ms, of ${all.length}`
    }
    t.diagnostic(`another connection's echo, alone: ${figures(calm)}; beside it: ${figures(beside)}`)
    t.diagnostic(took.join(", "))
    bad.socket.terminate()
    good.socket.close()
  })
})

// The unmodified AWS SDKs for JavaScript, of both generations, post to connections.
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { after, before, describe, it } from "node:test"
import {
  ApiGatewayManagementApiClient,
  DeleteConnectionCommand,
  GetConnectionCommand,
  GoneException,
  LimitExceededException,
  PayloadTooLargeException,
  PostToConnectionCommand,
} from "@aws-sdk/client-apigatewaymanagementapi"
import AWS from "aws-sdk"
import WebSocket from "ws"
import { Gateway, credentials, region } from "./server.mjs"

let gateway

before(async () => {
  gateway = await Gateway.start()
})
after(() => gateway.stop())

let clients = 0

// connect opens a connection, and returns what it hears.
async function connect() {
  const name = `client ${clients++}`
  const socket = new WebSocket(`${gateway.ws}/prod?name=${encodeURIComponent(name)}`)
  const heard = []
  let wake
  socket.on("message", (data, binary) => {
    heard.push({ data: binary ? data : data.toString(), binary })
    wake?.()
  })
  const closed = new Promise((resolve) => socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() })))
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject))
  const next = async () => {
    while (heard.length === 0) await new Promise((resolve) => (wake = resolve))
    return heard.shift()
  }
  return { socket, next, closed, ConnectionId: await gateway.id(name) }
}

describe("@aws-sdk/client-apigatewaymanagementapi", () => {
  let attempts = 0
  // client counts the attempts of its calls.
  const client = (endpoint, over = {}) => {
    const made = new ApiGatewayManagementApiClient({ endpoint, region, credentials, ...over })
    made.middlewareStack.add((next) => (args) => (attempts++, next(args)), { step: "finalizeRequest", priority: "low" })
    return made
  }
  const count = async (call) => {
    attempts = 0
    try {
      return { answer: await call() }
    } catch (error) {
      return { error, attempts }
    }
  }

  it("posts, gets and deletes, whatever the endpoint ends with", async () => {
    const c = await connect()
    for (const end of ["/prod", "/prod/", "", "/main/prod"]) {
      const api = client(gateway.url + end)
      const text = '{"hello":"wörld"}'
      const answer = await api.send(new PostToConnectionCommand({ ...c, Data: Buffer.from(text) }))
      assert.equal(answer.$metadata.httpStatusCode, 200)
      assert.ok(answer.$metadata.requestId)
      assert.deepEqual(await c.next(), { data: text, binary: false })
    }
    const api = client(`${gateway.url}/prod`)
    await api.send(new PostToConnectionCommand({ ...c, Data: new Uint8Array([255, 0]) }))
    assert.deepEqual(await c.next(), { data: Buffer.from([255, 0]), binary: true })
    const got = await api.send(new GetConnectionCommand(c))
    assert.ok(got.ConnectedAt instanceof Date && got.LastActiveAt >= got.ConnectedAt)
    assert.equal(got.Identity.SourceIp, "127.0.0.1")
    const deleted = await api.send(new DeleteConnectionCommand(c))
    assert.equal(deleted.$metadata.httpStatusCode, 204)
    assert.deepEqual(await c.closed, { code: 1000, reason: "Connection Closed Normally" })
    const end = await gateway.event((e) => e.requestContext.eventType === "DISCONNECT" && e.requestContext.connectionId === c.ConnectionId)
    assert.equal(end.requestContext.disconnectStatusCode, 1000)
    for (const command of [new DeleteConnectionCommand(c), new GetConnectionCommand(c), new PostToConnectionCommand({ ...c, Data: "x" })]) {
      const gone = await count(() => api.send(command))
      assert.ok(gone.error instanceof GoneException, String(gone.error))
      assert.equal(gone.error.$metadata.httpStatusCode, 410)
      assert.equal(gone.attempts, 1)
    }
  })

  it("is told by name what is wrong", async () => {
    const c = await connect()
    const api = client(`${gateway.url}/prod`)
    await api.send(new PostToConnectionCommand({ ...c, Data: Buffer.alloc(128 << 10, "x") }))
    assert.equal((await c.next()).data.length, 128 << 10)
    const large = await count(() => api.send(new PostToConnectionCommand({ ...c, Data: Buffer.alloc((128 << 10) + 1, "x") })))
    assert.ok(large.error instanceof PayloadTooLargeException, String(large.error))
    const wrong = client(`${gateway.url}/prod`, { credentials: { ...credentials, secretAccessKey: "wrong" } })
    const refused = await count(() => wrong.send(new PostToConnectionCommand({ ...c, Data: "x" })))
    assert.equal(refused.error.name, "InvalidSignatureException")
    assert.equal(refused.error.$metadata.httpStatusCode, 403)
    for (const [id, name] of [
      ["L0SM9cOFvHcCIhw=", "GoneException"],
      ["a/b+c=", "BadRequestException"],
    ]) {
      const nobody = await count(() => api.send(new PostToConnectionCommand({ ConnectionId: id, Data: "x" })))
      assert.equal(nobody.error.name, name)
      assert.equal(nobody.attempts, 1)
    }
    c.socket.close()
  })

  it("is throttled, and tries three times", async () => {
    const c = await connect()
    c.socket.pause()
    const api = client(`${gateway.url}/prod`)
    const Data = Buffer.alloc(128 << 10, "x")
    let limited
    while (!limited) limited = (await count(() => api.send(new PostToConnectionCommand({ ...c, Data })))).error && { attempts }
    assert.equal(limited.attempts, 3)
    const again = await count(() => api.send(new PostToConnectionCommand({ ...c, Data })))
    assert.ok(again.error instanceof LimitExceededException, String(again.error))
    await api.send(new GetConnectionCommand(c)) // it is there, and not cut
    c.socket.terminate()
  })

  it("works by environment alone", async () => {
    const c = await connect()
    const all = {
      AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI: `${gateway.url}/prod`,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_SESSION_TOKEN: "a/session+token=",
      AWS_REGION: region,
      AWS_CONFIG_FILE: "/dev/null",
      AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
    }
    Object.assign(process.env, all)
    try {
      await new ApiGatewayManagementApiClient({}).send(new PostToConnectionCommand({ ...c, Data: "hi" }))
    } finally {
      for (const name of Object.keys(all)) delete process.env[name]
    }
    assert.deepEqual(await c.next(), { data: "hi", binary: false })
    c.socket.close()
  })

  it("has connections join a channel, with one publish for all", async () => {
    const all = await Promise.all([connect(), connect(), connect()])
    gateway.integrate = (e) => (e.body === "join" ? { statusCode: 200, join: ["news"] } : { statusCode: 200, body: "joined" })
    try {
      for (const c of all) c.socket.send("join")
      for (const c of all) {
        c.socket.send('{"action":"echo"}') // is worked on after the join
        assert.equal((await c.next()).data, "joined")
      }
    } finally {
      gateway.integrate = () => ({ statusCode: 200 })
    }
    // The SDK has no such operation; its signer signs the request all the same.
    const api = client(`${gateway.url}/prod`)
    api.middlewareStack.add(
      (next) => (args) => {
        args.request.path = "/prod/@channels/news"
        return next(args)
      },
      { step: "build" },
    )
    await api.send(new PostToConnectionCommand({ ConnectionId: "any", Data: '{"it":"rains"}' }))
    for (const c of all) {
      assert.equal((await c.next()).data, '{"it":"rains"}')
      c.socket.close()
    }
  })
})

describe("curl", () => {
  it("posts with --aws-sigv4, and publishes to a channel", async () => {
    const c = await connect()
    const id = encodeURIComponent(c.ConnectionId)
    const curl = (...args) =>
      new Promise((resolve, reject) => {
        const user = `${credentials.accessKeyId}:${credentials.secretAccessKey}`
        const all = ["--silent", "--aws-sigv4", `aws:amz:${region}:execute-api`, "--user", user, "--write-out", " %{http_code}", ...args]
        execFile("curl", all, (error, out) => (error ? reject(error) : resolve(out)))
      })
    assert.equal(await curl("--data-binary", "hi", `${gateway.url}/prod/@connections/${id}`), " 200")
    assert.equal((await c.next()).data, "hi")
    assert.equal(await curl("--request", "PUT", `${gateway.url}/prod/@connections/${id}/@channels/news?envelope=true`), " 204")
    assert.equal(await curl("--data-binary", '{"it":"rains"}', `${gateway.url}/prod/@channels/news?event=weather`), " 200")
    assert.equal((await c.next()).data, '{"channel":"news","event":"weather","data":{"it":"rains"}}')
    assert.equal(await curl("--request", "DELETE", `${gateway.url}/prod/@connections/${id}?code=4401&reason=bye`), " 204")
    assert.deepEqual(await c.closed, { code: 4401, reason: "bye" })
  })
})

describe("aws-sdk 2", () => {
  const api = (over = {}) =>
    new AWS.ApiGatewayManagementApi({ apiVersion: "2018-11-29", endpoint: `${gateway.url}/prod`, region, ...credentials, ...over })

  it("posts, gets and deletes", async () => {
    const { ConnectionId, ...c } = await connect()
    await api().postToConnection({ ConnectionId, Data: '{"hello":"wörld"}' }).promise()
    assert.deepEqual(await c.next(), { data: '{"hello":"wörld"}', binary: false })
    const got = await api().getConnection({ ConnectionId }).promise()
    assert.ok(got.LastActiveAt && got.Identity.SourceIp === "127.0.0.1", JSON.stringify(got))
    const fails = (call) => call.promise().then(() => assert.fail("it succeeded"), (error) => error)
    const large = await fails(api().postToConnection({ ConnectionId, Data: Buffer.alloc((128 << 10) + 1) }))
    assert.equal(large.code, "PayloadTooLargeException")
    const wrong = await fails(api({ secretAccessKey: "wrong" }).deleteConnection({ ConnectionId }))
    assert.deepEqual([wrong.code, wrong.statusCode], ["InvalidSignatureException", 403])
    await api().deleteConnection({ ConnectionId }).promise()
    assert.deepEqual(await c.closed, { code: 1000, reason: "Connection Closed Normally" })
    const gone = await fails(api().postToConnection({ ConnectionId, Data: "x" }))
    assert.deepEqual([gone.code, gone.statusCode, gone.retryable], ["GoneException", 410, false])
  })
})

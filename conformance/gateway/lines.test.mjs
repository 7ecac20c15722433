// What is typed: wscat at the keyboard, and what posts to connections from a line,
// boto3 and the command line of AWS where they are there, and curl, which signs
// requests by itself.
import assert from "node:assert/strict"
import { execFile, spawn, spawnSync } from "node:child_process"
import { createInterface } from "node:readline"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { ApiGatewayManagementApiClient, PostToConnectionCommand } from "@aws-sdk/client-apigatewaymanagementapi"
import WebSocket from "ws"
import { Gateway, credentials, region } from "./server.mjs"

let gateway
before(async () => {
  gateway = await Gateway.start()
})
after(() => gateway.stop())

let clients = 0

const wscat = fileURLToPath(new URL("../node_modules/.bin/wscat", import.meta.url))

describe("wscat at the keyboard", { timeout: 120_000 }, () => {
  it("speaks line by line, pings, and closes as it is told", async () => {
    gateway.integrate = (e) => ({ statusCode: 200, body: e.body })
    const child = spawn(wscat, ["-c", `${gateway.ws}/prod?name=typed`, "--slash", "-P"], { stdio: ["pipe", "pipe", "inherit"] })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const next = async () => (await lines.next()).value.replace(/^(> )+/, "") // its prompt
    const ended = new Promise((resolve) => child.once("close", resolve))
    try {
      const ConnectionId = await gateway.id("typed")
      const api = new ApiGatewayManagementApiClient({ endpoint: `${gateway.url}/prod`, region, credentials })
      for (;;) {
        try {
          await api.send(new PostToConnectionCommand({ ConnectionId, Data: "it is open" }))
          break
        } catch (error) {
          assert.equal(error.name, "GoneException") // until the handshake is answered
        }
      }
      assert.equal(await next(), "it is open")
      const text = '{"action":"echo","text":"wörld"}'
      child.stdin.write(`${text}\n`)
      assert.equal(await next(), text)
      child.stdin.write("/ping beat\n")
      assert.equal(await next(), 'Received pong (data: "beat")')
      child.stdin.write("/close 4000 bye now\n")
      assert.equal(await ended, 0)
      const end = await gateway.event((e) => e.requestContext.eventType === "DISCONNECT" && e.requestContext.connectionId === ConnectionId)
      assert.deepEqual([end.requestContext.disconnectStatusCode, end.requestContext.disconnectReason], [4000, "bye now"])
    } finally {
      child.kill()
      gateway.integrate = () => ({ statusCode: 200 })
    }
  })
})

// connect resolves to a connection's id, and what it hears one after another.
async function connect() {
  const name = `line ${clients++}`
  const socket = new WebSocket(`${gateway.ws}/prod?name=${encodeURIComponent(name)}`)
  const heard = []
  let wake
  socket.on("message", (data) => {
    heard.push(data.toString())
    wake?.()
  })
  const closed = new Promise((resolve) => socket.on("close", (code, reason) => resolve([code, reason.toString()])))
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject))
  const next = async () => {
    while (heard.length === 0) await new Promise((resolve) => (wake = resolve))
    return heard.shift()
  }
  return { socket, next, closed, id: await gateway.id(name) }
}

// run runs a program with nothing else in its environment than what AWS's need.
function run(program, args, { input = "", env = {} } = {}) {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      args,
      {
        env: {
          PATH: process.env.PATH, HOME: process.env.HOME, AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
          AWS_DEFAULT_REGION: region, AWS_EC2_METADATA_DISABLED: "true", AWS_CONFIG_FILE: "/dev/null", AWS_SHARED_CREDENTIALS_FILE: "/dev/null", AWS_PAGER: "", ...env,
        },
      },
      (error, out, err) => resolve({ code: error?.code ?? 0, out, err }),
    )
    child.stdin.end(input)
  })
}

// pythons are those with a boto3, one of each version.
const pythons = new Map()
for (const python of ["/usr/bin/python3", "python3"]) {
  const asked = spawnSync(python, ["-c", "import boto3; print(boto3.__version__)"], { encoding: "utf8" })
  if (asked.status === 0 && !pythons.has(asked.stdout.trim())) pythons.set(asked.stdout.trim(), python)
}
if (pythons.size === 0) {
  console.error("SKIPPED: boto3 was not tested; install python3-boto3")
  describe("boto3", { skip: "there is no boto3" }, () => {})
}

for (const [version, python] of pythons) {
  describe(`boto3 ${version}`, { timeout: 120_000 }, () => {
    const manage = async (endpoint, operations, env) => {
      const input = operations.map((o) => JSON.stringify(o) + "\n").join("")
      const { code, out, err } = await run(python, [fileURLToPath(new URL("lines.py", import.meta.url)), endpoint], { input, env })
      assert.equal(code, 0, err)
      return out.trim().split("\n").map((line) => JSON.parse(line))
    }

    it("posts, gets and deletes, and knows the errors", async () => {
      const c = await connect()
      const ConnectionId = c.id
      const text = '{"hello":"wörld"}'
      const got = await manage(`${gateway.url}/prod`, [
        ["post_to_connection", { ConnectionId, Data: text }],
        ["get_connection", { ConnectionId }],
        ["post_to_connection", { ConnectionId, Data: "x".repeat((128 << 10) + 1) }],
        ["delete_connection", { ConnectionId }],
        ["delete_connection", { ConnectionId }],
        ["get_connection", { ConnectionId }],
        ["post_to_connection", { ConnectionId, Data: "x" }],
        ["post_to_connection", { ConnectionId: "a/b+c=", Data: "x" }],
      ])
      const gone = { error: "GoneException", status: 410, typed: true }
      const [posted, known, large, ...rest] = got
      assert.deepEqual(posted, { status: 200 })
      assert.match(known.ConnectedAt, /^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/)
      assert.ok(known.LastActiveAt >= known.ConnectedAt && known.Identity.SourceIp === "127.0.0.1", JSON.stringify(known))
      assert.deepEqual(large, { error: "PayloadTooLargeException", status: 413, typed: true })
      assert.deepEqual(rest, [{ status: 204 }, gone, gone, gone, { error: "BadRequestException", status: 400, typed: false }, { sent: 8, version }])
      assert.equal(await c.next(), text)
      assert.deepEqual(await c.closed, [1000, "Connection Closed Normally"])
    })

    it("is refused with a wrong secret, which is not Gone", async () => {
      const { id: ConnectionId, socket } = await connect()
      const [refused, sent] = await manage(`${gateway.url}/prod`, [["post_to_connection", { ConnectionId, Data: "x" }]], { AWS_SECRET_ACCESS_KEY: "wrong" })
      assert.deepEqual(refused, { error: "InvalidSignatureException", status: 403, typed: false })
      assert.equal(sent.sent, 1)
      socket.close()
    })

    const [major, minor] = version.split(".").map(Number)
    it("works by environment alone", { skip: (major < 2 && minor < 28) && "this boto3 knows no AWS_ENDPOINT_URL_…" }, async () => {
      const c = await connect()
      const env = { AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI: `${gateway.url}/prod`, AWS_SESSION_TOKEN: "a/session+token=" }
      const [posted] = await manage("", [["post_to_connection", { ConnectionId: c.id, Data: "hi" }]], env)
      assert.deepEqual(posted, { status: 200 })
      assert.equal(await c.next(), "hi")
      c.socket.close()
    })
  })
}

const aws = spawnSync("aws", ["--version"], { encoding: "utf8" })
if (aws.status !== 0) console.error("SKIPPED: AWS's command line was not tested; install awscli")

describe("aws apigatewaymanagementapi", { timeout: 120_000, skip: aws.status !== 0 && "there is no aws" }, () => {
  it("posts, and is told of who is gone", async () => {
    const c = await connect()
    const call = (operation, ...more) =>
      run("aws", ["apigatewaymanagementapi", operation, "--connection-id", c.id, "--endpoint-url", `${gateway.url}/prod`, ...more])
    const posted = await call("post-to-connection", "--data", "hi", ...(aws.stdout.startsWith("aws-cli/1") ? [] : ["--cli-binary-format", "raw-in-base64-out"]))
    assert.equal(posted.code, 0, posted.err)
    assert.equal(await c.next(), "hi")
    assert.equal((await call("delete-connection")).code, 0)
    assert.deepEqual(await c.closed, [1000, "Connection Closed Normally"])
    const gone = await call("get-connection")
    assert.notEqual(gone.code, 0)
    assert.match(gone.err, /GoneException/)
  })
})

const signs = spawnSync("curl", ["--help", "all"], { encoding: "utf8" }).stdout?.includes("--aws-sigv4")
if (!signs) console.error("SKIPPED: curl was not tested; it needs --aws-sigv4, of 7.75 on")

describe("curl --aws-sigv4", { timeout: 120_000, skip: !signs && "there is no curl that signs" }, () => {
  const curl = async (method, path, ...more) => {
    const { out } = await run("curl", [
      "-s", "-X", method, "--aws-sigv4", `aws:amz:${region}:execute-api`, "--user", `${credentials.accessKeyId}:${credentials.secretAccessKey}`,
      "-w", "\n%{http_code} %header{x-amzn-errortype}", ...more, gateway.url + path,
    ])
    const at = out.lastIndexOf("\n")
    return [out.slice(0, at), out.slice(at + 1).trim()]
  }

  it("posts, gets and deletes, however the path is spelled", async () => {
    const c = await connect()
    for (const path of [`/prod/@connections/${encodeURIComponent(c.id)}`, `/prod/@connections/${c.id}`, `/prod/%40connections/${encodeURIComponent(c.id)}`, `/prod//@connections/${encodeURIComponent(c.id)}`]) {
      assert.deepEqual(await curl("POST", path, "--data-binary", "héllo"), ["", "200"], path)
      assert.equal(await c.next(), "héllo")
    }
    const path = `/prod/@connections/${encodeURIComponent(c.id)}`
    const [got, status] = await curl("GET", path)
    assert.equal(status, "200")
    const { connectedAt, lastActiveAt, identity } = JSON.parse(got)
    assert.match(connectedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
    assert.ok(lastActiveAt >= connectedAt && identity.sourceIp === "127.0.0.1", got)
    assert.deepEqual(await curl("DELETE", path), ["", "204"])
    assert.deepEqual(await c.closed, [1000, "Connection Closed Normally"])
    assert.deepEqual(await curl("POST", path, "--data-binary", "x"), ['{"message":"Gone"}', "410 GoneException"])
    assert.deepEqual((await curl("POST", "/prod/@connections/a%2Fb%2Bc%3D", "--data-binary", "x"))[1], "400 BadRequestException")
    assert.deepEqual((await curl("POST", "/nope/@connections/x", "--data-binary", "x"))[1], "403 ForbiddenException")
  })

  it("is refused with a wrong secret, and without a signature", async () => {
    const path = "/prod/@connections/L0SM9cOFvHcCIhw%3D"
    assert.equal((await curl("POST", path, "--user", `${credentials.accessKeyId}:wrong`, "--data-binary", "x"))[1], "403 InvalidSignatureException")
    const { out } = await run("curl", ["-s", "-i", "--data-binary", "x", gateway.url + path])
    assert.match(out, /^HTTP\/1.1 403 /)
    assert.match(out, /x-amzn-errortype: MissingAuthenticationTokenException/i)
    assert.match(out, /\{"message":"Missing Authentication Token"\}$/)
  })
})

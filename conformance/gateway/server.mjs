// Starts `earshot serve` with WebSocket APIs whose backend is this process: its
// integrations and authorizers are addresses that events are posted to.
import { spawn } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const binary = process.env.EARSHOT ?? fileURLToPath(new URL("../../bin/earshot", import.meta.url))

export const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "SECRETKEYEXAMPLE" }
export const region = "us-east-1"

// A Gateway is a server and its backend. integrate and authorize answer events; they
// may be replaced at any time.
export class Gateway {
  events = []
  waiting = []
  integrate = () => ({ statusCode: 200 })
  authorize = (event) => policy(event.methodArn, "Allow")

  static async start() {
    const gateway = new Gateway()
    gateway.backend = createServer((request, response) => gateway.answer(request, response))
    await new Promise((resolve) => gateway.backend.listen(0, "127.0.0.1", resolve))
    gateway.dir = await mkdtemp(join(tmpdir(), "earshot-gateway-"))
    await gateway.run()
    return gateway
  }

  settings() {
    const backend = `http://127.0.0.1:${this.backend.address().port}`
    const api = (id, stage, more) => `
[[apps.gateways]]
id = "${id}"
route_selection_expression = "$request.body.action"
stages = [{ stage_name = "${stage}" }]
integrations = [{ integration_id = "all", integration_type = "HTTP_EVENT", integration_uri = "${backend}/integrate", timeout_in_millis = 3000 }]
${more}`
    const to = (key, more = "") => `  { route_key = "${key}", target = "integrations/all"${more} },\n`
    const twoWay = ', route_response_selection_expression = "$default"'
    return `[server]
listen = "127.0.0.1:0"
[engine]
data = "${join(this.dir, "data")}"
[[apps]]
slug = "main"
publish_keys = ["a publish key"]
[[apps.signing_keys]]
alg = "HS256"
key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="
[[apps.access_keys]]
id = "${credentials.accessKeyId}"
secret = "${credentials.secretAccessKey}"
${api(
  "abc123",
  "prod",
  `routes = [
${to("$connect")}${to("$disconnect")}${to("$default")}${to("echo", twoWay)}]
`,
)}
${api(
  "def456",
  "dev",
  `authorizers = [{ authorizer_id = "auth", authorizer_uri = "${backend}/authorize", identity_source = ["route.request.querystring.Auth"] }]
routes = [
${to("$connect", ', authorization_type = "CUSTOM", authorizer_id = "auth"')}${to("echo", twoWay)}]
`,
)}`
  }

  async run() {
    const file = join(this.dir, "earshot.toml")
    await writeFile(file, this.settings())
    this.child = spawn(binary, ["serve", "-c", file], { stdio: ["ignore", "ignore", "pipe"] })
    this.exited = new Promise((resolve) => this.child.once("exit", resolve))
    let log = ""
    const address = await new Promise((resolve, reject) => {
      this.child.stderr.on("data", (chunk) => {
        log += chunk
        const ready = /msg=ready address=(\S+)/.exec(log)
        if (ready) resolve(ready[1])
      })
      this.exited.then((code) => reject(new Error(`earshot ended with ${code}:\n${log}`)))
    })
    this.url = `http://${address}`
    this.ws = `ws://${address}`
  }

  async answer(request, response) {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const event = JSON.parse(Buffer.concat(chunks).toString())
    this.events.push(event)
    for (const wake of this.waiting.splice(0)) wake()
    const answer = await (request.url === "/authorize" ? this.authorize(event) : this.integrate(event))
    response.statusCode = answer?.raised ?? 200
    response.end(typeof answer === "string" ? answer : JSON.stringify(answer ?? null))
  }

  // event resolves to the newest event that fits.
  async event(fits) {
    for (;;) {
      const found = this.events.findLast(fits)
      if (found) return found
      await new Promise((resolve) => this.waiting.push(resolve))
    }
  }

  // id resolves to the id of the connection that began last with this query.
  async id(name) {
    const event = await this.event((e) => e.requestContext.eventType === "CONNECT" && e.queryStringParameters?.name === name)
    return event.requestContext.connectionId
  }

  async stop() {
    this.child.kill("SIGTERM")
    await this.exited
    this.backend.closeAllConnections()
    await new Promise((resolve) => this.backend.close(resolve))
    await rm(this.dir, { recursive: true, force: true })
  }
}

// policy is an authorizer's answer.
export function policy(resource, effect, more = {}) {
  return {
    principalId: "me",
    policyDocument: { Version: "2012-10-17", Statement: [{ Action: "execute-api:Invoke", Effect: effect, Resource: resource }] },
    ...more,
  }
}

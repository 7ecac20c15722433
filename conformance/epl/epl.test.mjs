// The demo of Ex Pusher Lite against Earshot: its page by the unmodified phoenix.js
// 1.2.1 (V1), and its server by HTTP clients that put key and secret into the URL.
// The lines of the README run as they stand.
import assert from "node:assert/strict"
import { execFile, execFileSync, spawn } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { after, before, describe, it } from "node:test"
import axios from "axios"
import WebSocket from "ws"
import { next } from "../server.mjs"

// phoenix.js looks for the page that it would run in.
globalThis.window ??= globalThis
const { Socket } = createRequire(import.meta.url)("phoenix-1.2")

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const run = promisify(execFile)
const user = "pusher_admin_username"
const password = "pusher_admin_password"

// What the article's page does, with the origin of a Rails server in development.
class FromRails extends WebSocket {
  constructor(url) {
    super(url, { origin: "http://localhost:3000" })
  }
}

// blocks are the parts of a README's section that a shell can run.
async function blocks(title) {
  const text = await readFile(here("../../README.md"), "utf8")
  const section = text.split(`\n## ${title}\n`)[1].split("\n## ")[0]
  return [...section.matchAll(/```sh\n([^]*?)```/g)].map((m) => m[1].trim().split("\n"))
}

const hasRuby = (() => {
  try {
    execFileSync("ruby", ["-rnet/http", "-e", ""], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()

describe("Ex Pusher Lite", () => {
  let dir, child, exited, address, dev, lines
  const sockets = []

  // sh runs a line as a user would: localhost:4000 is where our server listens, and
  // curl says the status behind the body.
  async function sh(line) {
    const { stdout } = await run("sh", ["-c", line], { cwd: dir, env: { PATH: `${dir}/bin:${process.env.PATH}`, CURL_HOME: dir, HOME: dir } })
    const cut = stdout.lastIndexOf("\n")
    return line.includes("curl") ? { body: stdout.slice(0, cut), status: +stdout.slice(cut + 1) } : stdout
  }

  before(async () => {
    lines = await blocks("Coming from Ex Pusher Lite")
    dir = await mkdtemp(join(tmpdir(), "epl-"))
    await mkdir(join(dir, "bin"))
    await symlink(process.env.EARSHOT ?? here("../../bin/earshot"), join(dir, "bin", "earshot"))
    // The README's line, but for the port, which may be taken.
    assert.match(lines[0][0], /^PORT=4000 .* earshot dev$/)
    child = spawn("sh", ["-c", "exec env " + lines[0][0].replace("PORT=4000", "PORT=0")], { cwd: dir, env: { PATH: `${dir}/bin:${process.env.PATH}` }, stdio: ["ignore", "pipe", "pipe"] })
    exited = new Promise((resolve) => child.once("exit", resolve))
    let said = ""
    await new Promise((resolve, reject) => {
      const see = (chunk) => (said += chunk).includes("Ctrl-C stops") && resolve()
      child.stdout.on("data", see)
      child.stderr.on("data", see)
      exited.then((code) => reject(new Error(`earshot ended with ${code}:\n${said}`)))
    })
    dev = JSON.parse(await readFile(join(dir, "earshot-data", "dev.json"), "utf8"))
    address = new URL(dev.url).host
    await writeFile(join(dir, ".curlrc"), `silent\nwrite-out = "\\n%{http_code}"\nconnect-to = "localhost:4000:${address}"\n`)
  })
  after(async () => {
    for (const s of sockets) await leave(s)
    child.kill("SIGTERM")
    await exited
    await rm(dir, { recursive: true, force: true })
  })

  // page opens a socket as the demo's page does, and notes every frame.
  function page(options = {}) {
    const params = { guardian_token: "dG9rZW4tMTIzNDU2Nzg5MA", csrf_token: "", ...options.params }
    const socket = new Socket(`ws://${address}/socket`, { transport: FromRails, ...options, params })
    const frames = []
    const connect = socket.onConnMessage.bind(socket)
    let wake = () => {}
    socket.onConnMessage = (raw) => {
      frames.push(JSON.parse(raw.data))
      connect(raw)
      wake()
    }
    sockets.push(socket)
    socket.connect()
    // frame waits for the n-th one.
    const frame = async (n) => {
      while (frames.length <= n) await new Promise((resolve) => (wake = resolve))
      return frames[n]
    }
    return { socket, frame }
  }

  // leave ends a socket; its disconnect forgets the timers.
  async function leave(socket) {
    await next((done) => socket.disconnect(done))
    clearInterval(socket.heartbeatTimer)
    for (const timer of [socket.reconnectTimer, ...socket.channels.map((c) => c.rejoinTimer)]) timer.reset()
  }

  const joined = (channel) =>
    new Promise((resolve, reject) => channel.join().receive("ok", resolve).receive("error", (r) => reject(Object.assign(new Error("refused"), { response: r }))))

  const event = (topic, payload) => ({ topic, event: "msg", scope: "public", payload: JSON.stringify(payload) })

  // publish posts a form with key and secret in the URL, as the demo's server does.
  const publish = (credentials, slug, fields) =>
    axios.post(`http://${credentials}@${address}/api/apps/${slug}/events`, fields, { headers: { "content-type": "application/x-www-form-urlencoded" }, validateStatus: () => true })

  // admin asks as the operator, with the credentials in the URL.
  const admin = (method, path, data) =>
    axios({ method, url: `http://${user}:${password}@${address}/api/admin/apps${path}`, data, headers: { "content-type": "application/x-www-form-urlencoded" }, validateStatus: () => true })

  it("A.8: the demo's dialogue", async () => {
    const { socket, frame } = page()
    const channel = socket.channel("public:test-app", {})
    const heard = []
    for (const name of ["public:prod_chat_channel:msg", "msg"]) channel.on(name, (data) => heard.push([name, data]))
    assert.deepEqual(await joined(channel), {})
    assert.deepEqual(await frame(0), { topic: "public:test-app", event: "phx_reply", payload: { status: "ok", response: {} }, ref: "1" })

    const credentials = "test-app-fake-key:test-app-fake-secret"
    const ann = { name: "Ann", message: "hi" }
    let answer = await publish(credentials, "test-app", event("public:prod_chat_channel", ann))
    assert.equal(answer.status, 200)
    assert.deepEqual(answer.data, {})
    assert.equal(answer.headers["content-type"], "application/json; charset=utf-8")
    assert.deepEqual(await frame(1), { topic: "public:test-app", event: "public:prod_chat_channel:msg", payload: ann, ref: null })

    answer = await publish(credentials, "test-app", event("#general", { name: "Ann", message: "to all" }))
    assert.equal(answer.status, 200)
    assert.deepEqual(await frame(2), { topic: "public:test-app", event: "msg", payload: { name: "Ann", message: "to all" }, ref: null })
    assert.deepEqual(heard, [
      ["public:prod_chat_channel:msg", ann],
      ["msg", { name: "Ann", message: "to all" }],
    ])
  })

  it("A.6: a heartbeat is answered", async () => {
    const { socket, frame } = page({ heartbeatIntervalMs: 20 })
    for (const n of [0, 1]) {
      const { topic, event, payload } = await frame(n)
      assert.deepEqual({ topic, event, payload }, { topic: "phoenix", event: "phx_reply", payload: { status: "ok", response: {} } })
    }
    assert.ok(socket.isConnected())
  })

  it("the demo's own client, Ruby's Net::HTTP", { skip: !hasRuby && "there is no ruby" }, async () => {
    const { socket, frame } = page()
    await joined(socket.channel("public:test-app", {}))
    const script = `uri = URI.parse("http://test-app-fake-key:test-app-fake-secret@${address}/api/apps/test-app/events")
      answer = Net::HTTP.post_form(uri, "topic" => "#general", "event" => "msg", "scope" => "public", "payload" => {"name" => "Ann", "message" => "från Rails"}.to_json)
      print answer.code, answer.body`
    const { stdout } = await run("ruby", ["-rnet/http", "-rjson", "-e", script])
    assert.equal(stdout, "200{}")
    assert.deepEqual((await frame(1)).payload, { name: "Ann", message: "från Rails" })
  })

  it("the README's curl lines, as they stand", async () => {
    const { socket, frame } = page()
    await joined(socket.channel("public:test-app", {}))
    const said = []
    for (const line of lines[1]) said.push(await sh(line))
    assert.deepEqual(
      said.map((a) => a.status),
      [201, 200, 200, 200, 204],
    )
    const [created, list, shown, renamed, deleted] = said.map((a) => a.body && JSON.parse(a.body).data)
    assert.deepEqual(Object.keys(created).sort(), ["active", "id", "key", "name", "secret", "slug"])
    assert.deepEqual({ ...created, id: 0, key: "", secret: "" }, { id: 0, name: "foo-app", slug: "foo-app", key: "", secret: "", active: true })
    assert.deepEqual(list, [{ id: 1, name: "Test App", slug: "test-app", key: "test-app-fake-key", secret: "test-app-fake-secret", active: true }, created])
    assert.deepEqual(shown, created)
    assert.deepEqual(renamed, { ...created, name: "new-foo-app", slug: "new-foo-app" })
    assert.equal(deleted, "")

    for (const line of lines[2]) assert.deepEqual(await sh(line), { body: "{}", status: 200 })
    assert.equal((await frame(1)).event, "foo-topic:msg")
    assert.equal((await frame(2)).event, "msg")
    assert.deepEqual((await frame(2)).payload, { name: "Ann", message: "hi" })
  })

  it("an app that was brought along, by the README's line", async () => {
    assert.match(await sh(lines[3][0]), /^shiny-new-app\t\d+\n$/)
    const { socket, frame } = page()
    await joined(socket.channel("public:shiny-new-app", {}))
    const at = `http://958c16e7-ab93-dac0-0fc6-6cb864e26358:42560373-0fe1-506e-28ca-35ab5221fb3d@${address}/api/apps/shiny-new-app/events`
    const { status, body } = await sh(`curl -F topic=a:b -F event=c -F scope=public '${at}'`)
    assert.deepEqual({ status, body }, { status: 200, body: "{}" })
    assert.deepEqual(await frame(1), { topic: "public:shiny-new-app", event: "a:b:c", payload: {}, ref: null })
  })

  it("A.4: a rename moves the topics, and a deleted app's clients are closed", async () => {
    const { data: made } = await admin("post", "", "app[name]=Moving app")
    const say = (slug) => publish(`${made.data.key}:${made.data.secret}`, slug, event("#general", { to: slug }))
    const before = page()
    const old = before.socket.channel("public:moving-app", {})
    await joined(old)
    const closed = next((f) => before.socket.onClose(f))
    const renamed = await admin("put", "/moving-app", "app[name]=Moved app")
    assert.equal(renamed.data.data.slug, "moved-app")
    assert.equal(renamed.data.data.secret, made.data.secret)
    assert.notEqual((await closed).code, 1000)
    await leave(before.socket)
    assert.equal((await say("moving-app")).status, 404)

    const { socket, frame } = page()
    await joined(socket.channel("public:moved-app", {}))
    assert.equal((await say("moved-app")).status, 200)
    assert.deepEqual((await frame(1)).payload, { to: "moved-app" })
    const ended = next((f) => socket.onClose(f))
    assert.equal((await admin("delete", "/moved-app")).status, 204)
    assert.notEqual((await ended).code, 1000)
    await leave(socket)
    const gone = page()
    await assert.rejects(joined(gone.socket.channel("public:moved-app", {})), { message: "refused" })
  })

  it("A.10: hosts say whose pages may connect", async () => {
    await admin("post", "", "app[name]=Hosted app&app[hosts][]=example.com")
    await assert.rejects(joined(page().socket.channel("public:hosted-app", {})), ({ response }) => response.reason === "origin not allowed")
    assert.equal((await admin("patch", "/hosted-app", "app[host]=localhost:3000")).status, 200)
    await joined(page().socket.channel("public:hosted-app", {}))
  })

  it("A.7.3: a private topic by the vector's token, signed with the key", async () => {
    const jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJjc3JmIiwic3ViIjp7fSwiaXNzIjoicGwtd2ViLXRlc3QiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6NDEwMjQ0NDgwMCwic19jc3JmIjoiMWwySV8zdEE2MDJDVXBTRTdXbHBHeGEwclRKdll2b040aTQ0VWJLZ3NlUSIsImxpc3RlbiI6WyJwdWJsaWM6KiIsInByaXZhdGU6KiJdLCJwdWJsaXNoIjpbInB1YmxpYzoqIl19.h5ACeyxoTznwoEkwfRyZBvYfIj0uFXq_53BDkIUmhUk"
    const app = { slug: "keyed-app", name: "Keyed app", active: true, key: "secret-key-1234567890", keySigned: true, secrets: [{ id: "s", secret: "secret-0987654321" }] }
    await writeFile(join(dir, "app.json"), JSON.stringify(app))
    await sh("earshot app import app.json")
    const params = { guardian_token: "dG9rZW4tMTIzNDU2Nzg5MA", csrf_token: jwt }
    const { socket, frame } = page({ params })
    assert.deepEqual(await joined(socket.channel("private:keyed-app", {})), { message: "Joined" })
    const fields = { ...event("#general", { private: true }), scope: "private" }
    const answer = await publish("secret-key-1234567890:secret-0987654321", "keyed-app", fields)
    assert.equal(answer.status, 200)
    assert.deepEqual(await frame(1), { topic: "private:keyed-app", event: "msg", payload: { private: true }, ref: null })

    // Nobody without it, with another opaque token, or in another app.
    for (const [topic, params] of [
      ["private:keyed-app", {}],
      ["private:keyed-app", { guardian_token: "b3RoZXI", csrf_token: jwt }],
      ["private:test-app", { csrf_token: jwt }],
    ]) {
      await assert.rejects(joined(page({ params }).socket.channel(topic, {})), { message: "refused" }, `${topic} ${Object.keys(params)}`)
    }
  })
})

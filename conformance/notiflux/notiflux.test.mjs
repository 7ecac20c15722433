// notiflux has no client library: its README's openssl, base64 and curl lines are
// what its users type, and any WebSocket client hears. Here they run as they stand,
// against `earshot serve` with nothing but the variables of notiflux's container.
import assert from "node:assert/strict"
import { execFileSync, spawn } from "node:child_process"
import { sign } from "node:crypto"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { after, before, describe, it } from "node:test"
import WebSocket from "ws"

const binary = process.env.EARSHOT ?? fileURLToPath(new URL("../../bin/earshot", import.meta.url))

describe("notiflux by its README", () => {
  let dir, child, address, privateKey, exited
  const log = []
  const sh = (line) => execFileSync("sh", ["-c", line], { cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "notiflux-"))
    sh("openssl ecparam -genkey -name prime256v1 -out es256_private.pem")
    sh("openssl ec -in es256_private.pem -pubout -out es256_public.pem")
    const JWT_PUBLIC_KEY_B64 = sh("cat es256_public.pem | base64")
    assert.match(JWT_PUBLIC_KEY_B64, /\n./, "base64 breaks lines, as it does on Linux")
    privateKey = await readFile(join(dir, "es256_private.pem"), "utf8")
    await writeFile(join(dir, "earshot-data"), "in the way of a data directory")
    const env = { PATH: process.env.PATH, TMPDIR: dir, HOST: "127.0.0.1", PORT: "0", RUST_LOG: "debug", WORKER_COUNT: "4", JWT_PUBLIC_KEY_B64 }
    child = spawn(binary, ["serve"], { cwd: dir, env, stdio: ["ignore", "ignore", "pipe"] })
    exited = new Promise((resolve) => child.once("exit", resolve))
    address = await new Promise((resolve, reject) => {
      child.stderr.on("data", (chunk) => {
        log.push(String(chunk))
        const ready = /msg=ready address=(\S+)/.exec(log.join(""))
        if (ready) resolve(ready[1])
      })
      exited.then((code) => reject(new Error(`earshot ended with ${code}:\n${log.join("")}`)))
    })
  })
  after(async () => {
    child.kill("SIGTERM")
    await exited
    await rm(dir, { recursive: true, force: true })
  })

  // token is what scripts/sign.py makes with PyJWT.
  function token(scope, topics, more = {}) {
    const part = (v) => Buffer.from(JSON.stringify(v)).toString("base64url")
    const claims = { sub: "notiflux", exp: Math.floor(Date.now() / 1000) + 100 * 365 * 86400, topics, scope, ...more }
    const signed = `${part({ alg: "ES256", typ: "JWT" })}.${part(claims)}`
    return `${signed}.${sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`
  }

  // curl is the line of the README; it prints the status behind the body.
  const curl = (topic, message, token) =>
    sh(`curl -s -w '%{http_code}' \\
    -XPOST \\
    -H "Content-Type: application/json" \\
    -d '{"topic": "${topic}", "message": "${message}", "token": "${token}"}' \\
    ${address}/broadcast`)

  async function open() {
    const ws = new WebSocket(`ws://${address}/ws`)
    const texts = []
    let wake = () => {}
    ws.on("message", (data, binary) => (texts.push(binary ? data : String(data)), wake()))
    await new Promise((resolve, reject) => (ws.on("open", resolve), ws.on("error", reject)))
    const read = async () => {
      while (texts.length === 0) await new Promise((resolve) => (wake = resolve))
      return texts.shift()
    }
    // done waits until what was sent before was carried out.
    const done = async () => {
      ws.send("/done")
      assert.equal(await read(), "Unknown command")
    }
    return { ws, read, done, send: (text) => ws.send(text) }
  }

  it("says where it stores, without a place of its own to write to", () => {
    assert.match(log.join(""), /temporary=\S*notiflux-/)
  })

  it("answers GET /health", () => assert.equal(sh(`curl -s -w '%{http_code}' ${address}/health`), "200"))

  it("subscribes in silence, broadcasts with curl, unsubscribes", async () => {
    const c = await open()
    c.send(`/subscribe campaign:7 ${token("subscribe", ["campaign:7", "campaigns"])}`)
    c.send(`/subscribe campaigns ${token("subscribe", ["campaign:7", "campaigns"])}`)
    await c.done()
    assert.equal(curl("campaign:7", "It begins", token("broadcast", ["campaign:7"])), "200")
    assert.equal(await c.read(), "It begins")
    c.send("/unsubscribe campaign:7")
    await c.done()
    assert.equal(curl("campaign:7", "unheard", token("broadcast", ["campaign:7"])), "200")
    assert.equal(curl("campaigns", "heard", token("broadcast", ["campaigns"])), "200")
    assert.equal(await c.read(), "heard")
    c.send("/unsubscribe-all")
    await c.done()
    assert.equal(curl("campaigns", "unheard", token("broadcast", ["campaigns"])), "200")
    await c.done()
    c.ws.close()
  })

  it("refuses in silence, and answers 200", async () => {
    const c = await open()
    c.send(`/subscribe news ${token("broadcast", ["news"])}`)
    c.send(`/subscribe news ${token("subscribe", ["sport"])}`)
    c.send(`/subscribe news ${token("subscribe", ["news"], { aud: "me" })}`)
    c.send(`/subscribe news ${token("subscribe", ["news"], { exp: Math.floor(Date.now() / 1000) - 90 })}`)
    await c.done()
    assert.equal(curl("news", "unheard", token("broadcast", ["news"])), "200")
    await c.done()
    c.send(`/subscribe news ${token("subscribe", ["news"], { exp: Math.floor(Date.now() / 1000) - 30 })}`)
    await c.done()
    for (const bad of ["x", token("subscribe", ["news"]), token("broadcast", ["sport"])]) assert.equal(curl("news", "unheard", bad), "200")
    assert.equal(curl("news", "heard", token("broadcast", ["news"])), "200")
    assert.equal(await c.read(), "heard")
    c.send("/subscribe news")
    assert.equal(await c.read(), "Invalid subscribe command, it should be: /subscribe <topic> <token>")
    c.ws.close()
  })

  it("answers what is no broadcast", () => {
    const post = (type, body) => sh(`curl -s -o /dev/null -w '%{http_code}' -XPOST -H 'Content-Type: ${type}' -d '${body}' ${address}/broadcast`)
    assert.equal(post("application/json", "{"), "400")
    assert.equal(post("application/json", `{"topic":"a"}`), "400")
    assert.equal(post("text/plain", `{"topic":"a","message":"b","token":"c"}`), "400")
    assert.equal(sh(`curl -s -o /dev/null -w '%{http_code}' ${address}/broadcast`), "405")
    assert.equal(sh(`curl -s -o /dev/null -w '%{http_code}' ${address}/other`), "404")
  })
})

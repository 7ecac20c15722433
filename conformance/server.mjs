// Starts `earshot dev` on a port of its own with an empty data directory, and
// makes tokens that its key has signed.
import { spawn } from "node:child_process"
import { createHmac, randomUUID } from "node:crypto"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const binary = process.env.EARSHOT ?? fileURLToPath(new URL("../bin/earshot", import.meta.url))

export class Server {
  // start resolves when the server answers /readyz.
  static async start(options = {}) {
    const server = new Server()
    server.dir = options.dir ?? (await mkdtemp(join(tmpdir(), "earshot-")))
    await server.run()
    return server
  }

  async run(port = 0) {
    this.output = ""
    this.child = spawn(binary, ["dev", "--listen", `127.0.0.1:${port}`, "--data", this.dir], { stdio: ["ignore", "pipe", "pipe"] })
    this.exited = new Promise((resolve) => this.child.once("exit", resolve))
    const ready = new Promise((resolve, reject) => {
      const see = (chunk) => {
        this.output += chunk
        if (this.output.includes("http://")) resolve()
      }
      this.child.stdout.on("data", see)
      this.child.stderr.on("data", see)
      this.exited.then((code) => reject(new Error(`earshot ended with ${code}:\n${this.output}`)))
    })
    await ready
    this.dev = JSON.parse(await readFile(join(this.dir, "dev.json"), "utf8"))
    for (;;) {
      const answer = await fetch(new URL("/readyz", this.dev.url))
      if (answer.status === 200) break
      await answer.text()
    }
  }

  // kill ends the server as a crash does.
  async kill() {
    this.child.kill("SIGKILL")
    await this.exited
  }

  async stop() {
    this.child.kill("SIGTERM")
    await this.exited
    await rm(this.dir, { recursive: true, force: true })
  }

  // token signs claims with the app's key; exp is an hour from now unless given.
  token(claims) {
    return sign({ alg: "HS256", typ: "JWT", kid: this.dev.signing_key_id }, { exp: Math.floor(Date.now() / 1000) + 3600, ...claims }, this.dev.signing_key)
  }

  async publish(message) {
    return fetch(new URL("/publish", this.dev.url), {
      method: "POST",
      headers: { authorization: `Bearer ${this.dev.publish_key}`, "content-type": "application/json" },
      body: JSON.stringify(message),
    })
  }
}

export function sign(header, payload, secret) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const signed = `${part(header)}.${part(payload)}`
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`
}

// channelName is one that no other test uses.
export const channelName = (name) => `${name}.${randomUUID()}`

// next resolves with the first value that `on` hands to its callback.
export const next = (on) => new Promise((resolve) => on(resolve))

// One application that every protocol may use: made at run time, with the keys
// that each of them brings.
import { generateKeyPairSync, sign as signES } from "node:crypto"
import { Server, sign } from "../server.mjs"

export const slug = "cross"

export class Space {
  // open starts a server and makes the app.
  static async open() {
    const space = new Space()
    space.server = await Server.start()
    space.url = space.server.dev.url.replace(/\/$/, "")
    space.ws = space.url.replace(/^http/, "ws")
    space.es256 = generateKeyPairSync("ec", { namedCurve: "P-256" })
    const { app } = await space.admin("POST", "/admin/apps", space.draft())
    space.app = app
    // An app counts within a second of its making, on every node.
    for (;;) {
      const headers = { authorization: `Bearer ${app.publishKeys[0].key}` }
      const answer = await fetch(`${space.url}/publish`, { method: "POST", headers, body: "{}" })
      await answer.text()
      if (answer.status !== 401) return space
    }
  }

  draft() {
    return {
      slug,
      name: "Across protocols",
      active: true,
      channels: [{ match: "log:*" }],
      limits: { clientRate: 10000 }, // Phoenix has ten a second where the app says nothing
      signingKeys: [
        { id: "cross-hs", alg: "HS256", secret: Buffer.from(hs256).toString("base64") },
        { id: "cross-es", alg: "ES256", publicKey: this.es256.publicKey.export({ type: "spki", format: "pem" }) },
      ],
      accessKeys: [{ id: "AKIDCROSS00000000000", secret: "a-secret-of-forty-characters-for-aws-sigv4" }],
      gateways: [{ id: "crossapi", routeSelectionExpression: "$request.body.action", stages: [{ stageName: "prod" }], routes: [] }],
    }
  }

  async admin(method, path, body) {
    const { admin_user, admin_password } = this.server.dev
    const answer = await fetch(this.url + path, {
      method,
      headers: { authorization: "Basic " + Buffer.from(`${admin_user}:${admin_password}`).toString("base64"), "content-type": "application/json" },
      body: JSON.stringify(body),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }

  // token signs claims as the app's own server does, with HS256.
  token(claims) {
    return sign({ alg: "HS256", typ: "JWT", kid: "cross-hs" }, { exp: hour(), ...claims }, hs256)
  }

  // tokenES signs with ES256, as notiflux's publishers do.
  tokenES(claims) {
    const part = (v) => Buffer.from(JSON.stringify(v)).toString("base64url")
    const text = `${part({ alg: "ES256", typ: "JWT", kid: "cross-es" })}.${part({ sub: "x", exp: hour(), ...claims })}`
    return `${text}.${signES("sha256", Buffer.from(text), { key: this.es256.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`
  }

  close() {
    return this.server.stop()
  }
}

const hs256 = "the secret of the app that all protocols share"
const hour = () => Math.floor(Date.now() / 1000) + 3600

// A Heard is what one subscriber hears, in order.
export class Heard {
  constructor() {
    this.all = []
    this.wake = () => {}
  }

  push(message) {
    this.all.push(message)
    this.wake()
  }

  async next() {
    while (this.all.length === 0) await new Promise((resolve) => (this.wake = resolve))
    return this.all.shift()
  }
}

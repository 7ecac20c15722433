// The unmodified hotsock-turbo, in a Rails application and a browser, against
// Earshot. HOTSOCK_RUBY, HOTSOCK_TURBO and HOTSOCK_JS are the paths of checkouts;
// without them these tests are skipped, loudly. run.sh says what Ruby needs besides.
import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"
import { Server } from "../server.mjs"

const { HOTSOCK_RUBY: ruby, HOTSOCK_TURBO: turbo, HOTSOCK_JS: js } = process.env
const lib = ruby && turbo && [join(turbo, "lib"), join(ruby, "lib"), process.env.RUBYLIB].filter(Boolean).join(":")
let why = !(lib && js) && "set HOTSOCK_RUBY, HOTSOCK_TURBO and HOTSOCK_JS to checkouts of github.com/hotsock/hotsock-ruby, hotsock-turbo and hotsock-js"
if (!why) {
  const needs = 'require "rails"; require "action_controller/railtie"; require "active_job/railtie"; require "rack/handler/webrick"; require "hotsock-turbo"'
  const tried = spawnSync("ruby", ["-e", needs], { env: { ...process.env, RUBYLIB: lib }, encoding: "utf8" })
  if (tried.status !== 0) why = `ruby cannot load it: ${tried.stderr?.split("\n")[0] ?? tried.error}`
}
if (why) console.error(`SKIPPED: the real hotsock-turbo was not tested; ${why}`)

describe("hotsock-turbo", { skip: why }, () => {
  let server, rails, site, browser

  before(async () => {
    server = await Server.start()
    const files = [
      join(server.dir, "dev.json"), join(js, "src/hotsock.js"), join(turbo, "app/assets/javascripts/hotsock-turbo.js"),
      fileURLToPath(new URL("../node_modules/@hotwired/turbo/dist/turbo.es2017-esm.js", import.meta.url)),
    ]
    const env = { PATH: process.env.PATH, RUBYLIB: lib, HOME: server.dir, RAILS_ENV: "production", AWS_ENDPOINT_URL_LAMBDA: server.dev.url }
    rails = spawn("ruby", [fileURLToPath(new URL("turbo.rb", import.meta.url)), ...files], { env, cwd: server.dir, stdio: ["ignore", "pipe", "inherit"] })
    const { value, done } = await createInterface({ input: rails.stdout })[Symbol.asyncIterator]().next()
    assert.ok(!done, "the Rails application does not start")
    site = value
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] })
  })
  after(async () => {
    await browser?.close()
    rails?.kill("SIGKILL")
    await server?.stop()
  })

  // visit opens a board; frames are what its page has received.
  async function visit(board) {
    const page = await browser.newPage()
    const frames = []
    let wake
    page.on("websocket", (socket) =>
      socket.on("framereceived", ({ payload }) => {
        frames.push(JSON.parse(payload))
        wake?.()
      }),
    )
    const count = (event) => frames.filter((f) => f.event === event).length
    const received = async (event, times = 1) => {
      while (count(event) < times) await new Promise((resolve) => (wake = resolve))
    }
    await page.goto(`${site}/boards/${board}`)
    await received("hotsock.subscribed")
    return { page, frames, received }
  }
  const broadcast = async (board, change) => {
    const answer = await fetch(`${site}/boards/${board}/broadcast`, { method: "POST", body: JSON.stringify(change) })
    assert.equal(answer.status, 204)
  }
  const list = (page) => page.locator("#list li").allTextContents()

  it("gets a token by POST /hotsock/connect, connects and subscribes", async () => {
    const board = randomUUID()
    const { page, frames } = await visit(board)
    const token = await page.evaluate(async () => {
      const csrf = document.querySelector('meta[name="csrf-token"]').content
      return (await (await fetch("/hotsock/connect", { method: "POST", headers: { "x-csrf-token": csrf } })).json()).token
    })
    const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url"))
    assert.deepEqual(Object.keys(claims).sort(), ["exp", "keepAlive", "scope", "uid", "umd"])
    assert.equal(claims.umd, null)
    const connected = frames.find((f) => f.event === "hotsock.connected")
    assert.deepEqual(connected.meta, { uid: "jim", umd: null })
    assert.equal(frames.find((f) => f.event === "hotsock.subscribed").channel, `board.${board}`)
    await page.close()
  })

  it("shows what Rails broadcasts, in its order, and the newest of what replaces", async () => {
    const board = randomUUID()
    const { page, frames, received } = await visit(board)
    for (const n of [1, 2, 3]) await broadcast(board, { action: "append", target: "list", html: `<li>${n}</li>`, later: n === 2 })
    for (const n of [1, 2, 3, 4, 5]) await broadcast(board, { action: "replace", target: "state", html: `<p id="state">${n}</p>` })
    await received("turbo_stream", 8)
    await page.locator("#state", { hasText: "5" }).waitFor()
    assert.deepEqual(await list(page), ["1", "2", "3"])
    const ids = frames.filter((f) => f.event === "turbo_stream").map((f) => f.id)
    for (const id of ids) assert.match(id, /^[0-9A-HJKMNP-TV-Z]{26}$/)
    assert.deepEqual(ids, [...ids].sort())
    assert.equal(new Set(ids).size, ids.length)
    await page.close()
  })

  it("comes back with the page's token when its connection is ended", async () => {
    const board = randomUUID()
    const { page, received } = await visit(board)
    for (const round of [2, 3]) {
      await fetch(new URL("/connections/disconnect", server.dev.url), {
        method: "POST", headers: { authorization: `Bearer ${server.dev.publish_key}` }, body: '{"uid":"jim"}',
      })
      await received("hotsock.subscribed", round)
      await broadcast(board, { action: "append", target: "list", html: `<li>${round}</li>` })
      await received("turbo_stream", round - 1)
    }
    await page.locator("#list li", { hasText: "3" }).waitFor()
    assert.deepEqual(await list(page), ["2", "3"])
    await page.close()
  })
})

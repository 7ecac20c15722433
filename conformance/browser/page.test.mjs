// The built-in page in a real browser: the first message within a click.
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import { chromium } from "playwright-core"
import { Server, channelName } from "../server.mjs"

describe("the built-in page", () => {
  let server, browser
  before(async () => {
    server = await Server.start()
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    })
  })
  after(async () => {
    await browser?.close()
    await server.stop()
  })

  // visit opens the page, and fails for anything that it complains of.
  async function visit() {
    const page = await browser.newPage()
    const complaints = []
    page.on("pageerror", (e) => complaints.push(String(e)))
    page.on("console", (m) => m.type() === "error" && complaints.push(m.text()))
    page.on("request", (r) => new URL(r.url()).host === new URL(server.dev.url).host || complaints.push(`outside: ${r.url()}`))
    await page.goto(server.dev.url)
    await page.locator('#state[data-state="connected"]').waitFor()
    return { page, complaints }
  }

  it("connects, publishes and hears its first message", async () => {
    const { page, complaints } = await visit()
    await page.click("#publish-button")
    const message = page.locator("#messages li").first()
    await message.waitFor()
    assert.match(await message.innerText(), /Hello from this page/)
    assert.deepEqual(complaints, [])
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true })
    await page.close()
  })

  it("shows what is published elsewhere, as text and never as markup", async () => {
    const { page, complaints } = await visit()
    const channel = channelName("page")
    await page.fill("#subscribe-channel", channel)
    await page.press("#subscribe-channel", "Enter")
    await page.locator('#channels li[data-state="subscribed"]', { hasText: channel }).waitFor()
    await server.publish({ channel, event: "<b>bold</b>", data: { html: "<img src=x onerror=alert(1)>" } })
    const message = page.locator("#messages li", { hasText: "onerror" })
    await message.waitFor()
    assert.equal(await page.locator("#messages img, #messages b").count(), 0)
    assert.deepEqual(complaints, [])
    await page.close()
  })

  it("two pages hear each other", async () => {
    const one = await visit()
    const two = await visit()
    await one.page.fill("#publish-data", `{"text":"from one to two"}`)
    await one.page.click("#publish-button")
    await two.page.locator("#messages li", { hasText: "from one to two" }).waitFor()
    assert.deepEqual([...one.complaints, ...two.complaints], [])
    await Promise.all([one.page.close(), two.page.close()])
  })
})

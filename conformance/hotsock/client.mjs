// Loads the unmodified hotsock-js of a checkout: HOTSOCK_JS is its path.
import { copyFile, mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import WebSocket from "ws"

export const checkout = process.env.HOTSOCK_JS
if (!checkout) {
  console.error("SKIPPED: the real hotsock-js was not tested; set HOTSOCK_JS to a checkout of github.com/hotsock/hotsock-js")
}
export const skip = !checkout && "HOTSOCK_JS is not set"

export async function load() {
  // The file is an ES module without the name of one.
  const copy = join(await mkdtemp(join(tmpdir(), "hotsock-js-")), "hotsock.mjs")
  await copyFile(join(checkout, "src/hotsock.js"), copy)
  globalThis.WebSocket = WebSocket
  const { HotsockClient } = await import(pathToFileURL(copy).href)
  return HotsockClient
}

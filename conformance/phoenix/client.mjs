// What the tests of both ages of phoenix.js share: a server whose dev app opens
// topics that begin with "room:" and "presence:", and with "log:", which are logged,
// and a way to await replies.
import { appendFile } from "node:fs/promises"
import { join } from "node:path"
import WebSocket from "ws"
import { Server } from "../server.mjs"

const rules = ["room:*", "presence:*", "log:*"]
  .map((match) => `\n[[apps.channels]]\nmatch = "${match}"\nlive = ${match !== "log:*"}\nopen = ["subscribe", "publish"]\n`)
  .join("")

// open starts a server of which the rules open some topics.
export async function open() {
  const server = await Server.start()
  await server.kill() // it has made its keys
  await appendFile(join(server.dir, "earshot.toml"), rules)
  await server.run()
  return server
}

export const address = (server, path = "/socket") => server.dev.url.replace(/^http/, "ws").replace(/\/$/, "") + path

// replied settles as a push does.
export const replied = (push) =>
  new Promise((resolve, reject) =>
    push
      .receive("ok", resolve)
      .receive("error", (response) => reject(Object.assign(new Error("refused"), { response })))
      .receive("timeout", () => reject(new Error("no reply in time"))),
  )

export { WebSocket }

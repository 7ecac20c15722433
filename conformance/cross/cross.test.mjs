// One channel space: what is published over one protocol is heard over all the
// others, whole and in order, by whom may hear it and nobody else.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { after, before, describe, it } from "node:test"
import { Space, slug } from "./space.mjs"
import { listeners, speakers } from "./clients.mjs"

const maxData = 32 << 10
const many = 1000
const may = { listen: true, publish: true }

// contents are what is said, by kind; each is of the largest size once.
const contents = {
  value: ["text", "åäö 😀 \u0000", "", 0, -1.5e300, true, null, [], [1, [2, [3]]], "x".repeat(maxData - 2)],
  object: [{}, { text: "åäö 😀", nested: [null, true, { deep: [1.5] }], "": 0, __proto__x: 1 }, { s: "x".repeat(maxData - 8) }],
  text: ["plain text", "åäö 😀", '{"not":"parsed"}', "x".repeat(maxData)],
  bytes: [Buffer.from([0, 1, 2, 254, 255]), Buffer.alloc(maxData, 255)],
}

// expected is what a listener hears of it.
function expected(listener, kind, event, data) {
  if (kind === "bytes") return listener.events ? { event, data } : { data }
  if (listener.events) return { event: kind === "text" ? "message" : event, data }
  return { data: kind === "text" ? data : JSON.stringify(data) }
}

// same compares what was heard; JSON in a text counts by its meaning, and null is {}
// where clients read members of every payload.
function same(got, want, what) {
  if (got.event === undefined && want.event === undefined && typeof want.data === "string" && want.data !== got.data) {
    assert.deepEqual(brief(JSON.parse(got.data)), brief(JSON.parse(want.data)), what)
    return
  }
  assert.deepEqual(brief(got), brief(want), what)
}

// brief puts a digest in place of what is long, so that a failure can be read.
function brief(value) {
  if (typeof value === "string" || Buffer.isBuffer(value)) {
    return value.length < 200 ? value : `${value.length} of ${createHash("sha256").update(value).digest("hex")}`
  }
  if (value === null || typeof value !== "object") return value
  return Array.isArray(value) ? value.map(brief) : Object.fromEntries(Object.entries(value).map(([k, v]) => [k, brief(v)]))
}

// matrix counts what was shown of each pair: whole and in order, live and logged.
const matrix = {}
const shown = (from) => {
  for (const to of Object.keys(listeners)) (matrix[from] ??= {})[to] = (matrix[from][to] ?? 0) + 1
}

for (const [mode, scope] of Object.entries({ live: "room", logged: "log" })) {
  describe(`one channel space, ${mode}`, () => {
    const channel = `${scope}:${slug}`
    let space
    const ears = {}
    const open = []
    const opens = async (how, rights) => {
      const client = await how.open(space, channel, rights)
      open.push(client)
      return client
    }
    before(async () => {
      space = await Space.open()
      for (const [name, l] of Object.entries(listeners)) ears[name] = await opens(l, { listen: true, publish: false })
    })
    after(async () => {
      for (const client of open) client.close?.()
      await space.close()
    })

    // hears asserts that every listener hears just this next.
    async function hears(from, kind, event, data) {
      for (const [name, l] of Object.entries(listeners)) {
        if (kind === "bytes" && !l.bytes) continue
        const want = expected(l, kind, event, data)
        if (name.startsWith("Phoenix") && want.data === null) want.data = {}
        same(await ears[name].next(), want, `${from} → ${name}`)
      }
    }

    for (const [from, how] of Object.entries(speakers)) {
      it(`${from}: names, data and sizes arrive as they were`, async () => {
        const speaker = await opens(how, may)
        for (const kind of how.says) {
          for (const [i, data] of contents[kind].entries()) {
            const event = how.silent ? "message" : `an event: ${i} å`
            await speaker.say(event, data)
            await hears(from, kind, event, data)
          }
        }
        shown(from)
      })

      it(`${from}: ${many} messages keep their order`, async () => {
        const speaker = await opens(how, may)
        const kind = how.says[0]
        const nth = (i) => (kind === "text" ? `${i}` : { i })
        const say = async () => {
          for (let i = 0; i < many; i++) await speaker.say("count", nth(i))
        }
        const hear = async () => {
          for (let i = 0; i < many; i++) await hears(from, kind === "text" ? "text" : "object", "count", nth(i))
        }
        await Promise.all([say(), hear()])
        shown(from)
      })

      it(`${from}: is refused without permission, and nobody hears it`, async () => {
        const attempt = (async () => (await opens(how, { listen: true, publish: false })).say("forbidden", how.says[0] === "text" ? "no" : {}))()
        if (how.silent) await attempt
        else await assert.rejects(attempt, (err) => err.refused !== undefined)
        // What comes next is the next thing that may be heard.
        await (await opens(speakers["POST /publish"], may)).say("next", { after: from })
        await hears(from, "object", "next", { after: from })
      })
    }

    for (const [name, how] of Object.entries(listeners)) {
      it(`${name}: hears nothing without permission`, async () => {
        const attempt = opens(how, { listen: false, publish: false })
        if (!how.silent) return assert.rejects(attempt, (err) => err.refused !== undefined)
        const deaf = await attempt
        await (await opens(speakers["POST /publish"], may)).say("secret", {})
        await hears("POST /publish", "object", "secret", {})
        deaf.socket.send("/done")
        assert.deepEqual(await deaf.next(), { data: "Unknown command" })
      })
    }
  })
}

after(() => {
  const to = Object.keys(listeners)
  console.log(`\n| published over | ${to.join(" | ")} |\n| --- |${" --- |".repeat(to.length)}`)
  for (const [from, row] of Object.entries(matrix)) console.log(`| ${from} | ${to.map((name) => (row[name] === 4 ? "✓" : "✗")).join(" | ")} |`)
})

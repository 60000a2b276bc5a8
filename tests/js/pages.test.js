import assert from "node:assert/strict";
import { test } from "node:test";
import { EpisodePages, PAGE } from "../../web/js/logic/pages.js";

/** A list of `total` episodes, newest first, that counts what is asked of it. */
function list(total) {
  const asked = [];
  const pages = new EpisodePages(async (cursor, limit) => {
    const at = Number(cursor ?? 0);
    asked.push(at);
    const episodes = Array.from({ length: Math.min(limit, total - at) }, (_, i) => ({ episode: total - 1 - at - i }));
    return { episodes, next: at + limit < total ? String(at + limit) : null, total };
  }, () => {});
  return { pages, asked };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("a million episodes are reached page by page", async () => {
  const { pages, asked } = list(1_000_000);
  await pages.reset();
  assert.equal(pages.total, 1_000_000);
  assert.equal(pages.row(0).episode, 999_999);
  assert.equal(pages.reachable, 2 * PAGE);
  for (let page = 1; page < 40; page += 1) {
    pages.want(page * PAGE, page * PAGE + 30);
    await settle();
  }
  assert.equal(pages.row(39 * PAGE).episode, 999_999 - 39 * PAGE);
  assert.ok(pages.pages.size <= 12, `${pages.pages.size} pages kept`);
  assert.equal(pages.row(0), undefined);
  pages.want(0, 30);
  await settle();
  assert.equal(pages.row(0).episode, 999_999, "a page let go is read again by its cursor");
  assert.equal(asked.filter((at) => at === 0).length, 2);
});

test("a page is asked for once, however often it is wanted", async () => {
  const { pages, asked } = list(500);
  await pages.reset();
  for (let i = 0; i < 5; i += 1) pages.want(PAGE, PAGE + 20);
  await settle();
  assert.deepEqual(asked, [0, PAGE]);
});

test("the end of a short list is its end", async () => {
  const { pages } = list(7);
  await pages.reset();
  assert.equal(pages.reachable, 7);
  assert.equal(pages.indexOf(0), 6);
  assert.equal(pages.indexOf(99), -1);
});

test("an answer to an older question is dropped", async () => {
  let answer = () => {};
  let first = true;
  const pages = new EpisodePages((cursor) => {
    if (!first) return Promise.resolve({ episodes: [{ episode: 1 }], next: null, total: 1 });
    first = false;
    return new Promise((resolve) => { answer = () => resolve({ episodes: [{ episode: 77 }], next: null, total: 1 }); });
  }, () => {});
  const old = pages.reset();
  await pages.reset();
  answer();
  await old;
  assert.equal(pages.row(0).episode, 1);
});

test("a failure is said, and the next success takes it back", async () => {
  let fail = true;
  const pages = new EpisodePages(async () => {
    if (fail) throw new Error("the disk is gone");
    return { episodes: [], next: null, total: 0 };
  }, () => {});
  await pages.reset();
  assert.equal(pages.error, "the disk is gone");
  fail = false;
  await pages.reset();
  assert.equal(pages.error, null);
});

/** A list of all episodes that can be had from any number on. */
function numbered(total, holes = []) {
  const all = Array.from({ length: total }, (_, i) => total - 1 - i).filter((n) => !holes.includes(n));
  const asked = [];
  const from = async (episode, limit) => {
    asked.push(episode);
    return { episodes: all.filter((n) => n <= episode).slice(0, limit).map((n) => ({ episode: n })), next: null, total: episode + 1 };
  };
  const fetch = async (cursor, limit) => {
    const at = Number(cursor ?? 0);
    return { episodes: all.slice(at, at + limit).map((n) => ({ episode: n })), next: at + limit < all.length ? String(at + limit) : null, total: all.length };
  };
  return { pages: new EpisodePages(fetch, () => {}, () => from), asked };
}

test("by number, any place in a million is had at once", async () => {
  const { pages, asked } = numbered(200_000);
  await pages.reset();
  assert.equal(pages.reachable, 200_000);
  const place = pages.indexOf(12_345);
  assert.equal(place, 199_999 - 12_345);
  pages.want(place, place + 30);
  await settle();
  assert.equal(pages.row(place).episode, 12_345);
  assert.ok(asked.length <= 2, `${asked.length} questions`);
  assert.equal((await pages.at(199_999)).episode, 0);
  assert.equal(await pages.at(200_000), undefined);
  assert.deepEqual([pages.indexOf(200_000), pages.indexOf(-1)], [-1, -1]);
});

test("numbers with a hole are read in turn: no row would stand where it belongs", async () => {
  const { pages, asked } = numbered(1000, [500]);
  await pages.reset();
  assert.equal(pages.top, null);
  assert.equal(pages.reachable, 2 * PAGE);
  assert.equal(pages.indexOf(12), -1);
  pages.want(700, 730);
  await settle();
  assert.deepEqual(asked, []);
});

test("while a list is read anew, nothing is asked of the old one", async () => {
  const { pages, asked } = numbered(5000);
  await pages.reset();
  const again = pages.reset();
  pages.want(3000, 3030);
  await again;
  assert.deepEqual(asked, []);
  pages.want(3000, 3030);
  await settle();
  assert.equal(pages.row(3000).episode, 1999);
});

test("a page that cannot be read is asked for once, and again when there is reason to", async () => {
  let broken = true;
  let asked = 0;
  let changes = 0;
  const pages = new EpisodePages(async (cursor) => {
    const at = Number(cursor ?? 0);
    if (at > 0) asked += 1;
    if (at > 0 && broken) throw new Error("no connection");
    return { episodes: Array.from({ length: PAGE }, (_, i) => ({ episode: 999 - at - i })), next: String(at + PAGE), total: 1000 };
  }, () => { changes += 1; });
  await pages.reset();
  for (let look = 0; look < 4; look += 1) {
    pages.want(PAGE, PAGE + 30);
    await settle();
  }
  assert.equal(asked, 1, "a look at each answer would ask for ever");
  assert.equal(pages.error, "no connection");
  broken = false;
  const before = changes;
  pages.retry();
  assert.ok(changes > before, "it is looked at again");
  pages.want(PAGE, PAGE + 30);
  await settle();
  assert.equal(pages.row(PAGE).episode, 899);
  assert.equal(pages.error, null);
});

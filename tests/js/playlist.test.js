import assert from "node:assert/strict";
import { test } from "node:test";
import { besides, byNumber, playlist } from "../../web/js/logic/playlist.js";

test("a table of all episodes is no list; a filter or another order makes one", () => {
  assert.equal(playlist("", "", "newest"), null);
  assert.deepEqual(playlist("length > 4", "", "newest"), { where: "length > 4", text: "", sort: "oldest" });
  assert.deepEqual(playlist("", "odd", "worst"), { where: "", text: "odd", sort: "worst" });
  assert.equal(byNumber(playlist("truncated", "", "newest")), true);
  assert.equal(byNumber(playlist("", "", "best")), false);
});

test("the neighbour in a list by number is the nearest on that side, whatever the filter says", () => {
  const list = playlist("length < 3 or truncated", "odd", "newest");
  assert.deepEqual(besides(list, 7, 1), { sort: "oldest", filter: "(length < 3 or truncated) and episode > 7 and kept and not running", words: "odd" });
  assert.deepEqual(besides(list, 7, -1).sort, "newest");
  assert.match(besides(playlist("", "odd", "newest"), 7, -1).filter, /^episode < 7 /);
});

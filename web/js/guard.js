/**
 * A page whose modules do not load runs none of them, and would say CONNECTING for ever.
 * This plain script looks whether the page came up, and says what is missing if it did not.
 */
(() => {
  /** @param {string} path */
  const there = async (path) => (await fetch(path, { method: "HEAD" }).catch(() => null))?.ok === true;

  async function missing() {
    const map = document.querySelector('script[type="importmap"]');
    const paths = Object.values(JSON.parse(map?.textContent ?? "{}").imports ?? {});
    const found = await Promise.all(paths.map(there));
    return paths.filter((_, i) => !found[i]).map((path) => path.replace("./", ""));
  }

  /** @param {string} text @param {string} remedy */
  function tell(text, remedy) {
    const chip = document.getElementById("state-chip");
    if (chip) {
      chip.textContent = "ERROR";
      chip.dataset.state = "error";
    }
    const card = document.getElementById("card");
    if (!card) return;
    const title = Object.assign(document.createElement("h3"), { textContent: "The page could not start" });
    const cause = Object.assign(document.createElement("p"), { textContent: `${text} ${remedy}` });
    const again = Object.assign(document.createElement("button"), { textContent: "Try again", onclick: () => location.reload() });
    card.replaceChildren(title, cause, again);
    card.dataset.card = "broken";
    card.hidden = false;
  }

  // Module scripts run before this event, whatever their order on the page.
  document.addEventListener("DOMContentLoaded", async () => {
    if ("reel" in window) return;
    const gone = await missing();
    if (gone.length > 0) tell(`Libraries of the viewer are missing: ${gone.join(", ")}.`, "Install Reel again; in a checkout, run make install.");
    else tell("A file of the viewer did not load.", "Load the page again; if that does not help, the browser's console names the file.");
  });
})();

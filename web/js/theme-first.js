// Runs before the first paint, so that a light page never flashes dark. Kept out of the
// document because the Content-Security-Policy forbids scripts inside it.
(() => {
  let name = null;
  try {
    name = localStorage.getItem("reel.theme");
  } catch {}
  name ??= matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  document.documentElement.dataset.theme = name;
})();

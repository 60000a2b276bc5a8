/** The few pictures that stand in cells, drawn as paths: no font decides how they look. */

/** @typedef {CanvasRenderingContext2D} Ctx */

/** A dark rim keeps a shape readable on any cell colour. @param {Ctx} ctx @param {string} fill */
function rimmed(ctx, fill) {
  ctx.lineJoin = "round";
  ctx.lineWidth = 2;
  ctx.strokeStyle = "rgba(10,14,20,.55)";
  ctx.stroke();
  ctx.fillStyle = fill;
  ctx.fill();
}

/** @param {Ctx} ctx @param {number} x @param {number} y @param {number} radius @param {string} fill */
export function star(ctx, x, y, radius, fill) {
  ctx.beginPath();
  for (let i = 0; i < 10; i += 1) {
    const r = i % 2 ? radius * 0.42 : radius;
    const angle = -Math.PI / 2 + (i * Math.PI) / 5;
    ctx.lineTo(x + r * Math.cos(angle), y + r * Math.sin(angle));
  }
  ctx.closePath();
  rimmed(ctx, fill);
}

/** @param {Ctx} ctx @param {number} x @param {number} y @param {number} arm @param {string} ink */
export function cross(ctx, x, y, arm, ink) {
  ctx.strokeStyle = ink;
  ctx.lineWidth = Math.max(2, arm * 0.38);
  ctx.lineCap = "round";
  ctx.beginPath();
  ctx.moveTo(x - arm, y - arm);
  ctx.lineTo(x + arm, y + arm);
  ctx.moveTo(x + arm, y - arm);
  ctx.lineTo(x - arm, y + arm);
  ctx.stroke();
  ctx.lineCap = "butt";
}

/** @param {Ctx} ctx @param {number} x @param {number} y @param {number} size @param {string} fill */
export function person(ctx, x, y, size, fill) {
  ctx.beginPath();
  ctx.arc(x, y - size * 0.55, size * 0.45, 0, 7);
  ctx.closePath();
  ctx.moveTo(x - size * 0.75, y + size);
  ctx.quadraticCurveTo(x - size * 0.75, y, x, y);
  ctx.quadraticCurveTo(x + size * 0.75, y, x + size * 0.75, y + size);
  ctx.closePath();
  rimmed(ctx, fill);
}

/** @param {Ctx} ctx @param {number} x @param {number} y @param {number} size @param {string} fill */
export function flag(ctx, x, y, size, fill) {
  ctx.beginPath();
  ctx.rect(x - size * 0.6, y - size, size * 0.2, size * 2);
  ctx.moveTo(x - size * 0.4, y - size);
  ctx.lineTo(x + size * 0.8, y - size * 0.45);
  ctx.lineTo(x - size * 0.4, y + size * 0.1);
  ctx.closePath();
  rimmed(ctx, fill);
}

export const MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace';

/** @param {Ctx} ctx @param {number} x @param {number} y @param {number} radius @param {string} fill */
export function dot(ctx, x, y, radius, fill) {
  ctx.fillStyle = fill;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 7);
  ctx.fill();
}

/** Centred. @param {Ctx} ctx @param {string} words @param {number} x @param {number} y @param {string} font @param {string} ink */
export function text(ctx, words, x, y, font, ink) {
  ctx.font = font;
  ctx.fillStyle = ink;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(words, x, y);
}

/** Slanted lines over a square: what cannot be entered. @param {Ctx} ctx @param {number} x @param {number} y @param {number} side @param {string} ink */
export function hatch(ctx, x, y, side, ink) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, side, side);
  ctx.clip();
  ctx.strokeStyle = ink;
  ctx.lineWidth = 1;
  ctx.beginPath();
  const gap = Math.max(4, Math.min(8, side / 6));
  for (let k = -side; k < side; k += gap) {
    ctx.moveTo(x + k, y + side);
    ctx.lineTo(x + k + side, y);
  }
  ctx.stroke();
  ctx.restore();
}

/**
 * An arrow from a point, black with a white halo: to be seen on any colour.
 * @param {Ctx} ctx @param {number} x @param {number} y @param {number} dx @param {number} dy  direction, of length 1
 * @param {number} length @param {number} weight
 */
export function arrow(ctx, x, y, dx, dy, length, weight) {
  const head = Math.max(3, Math.min(length * 0.5, weight * 3));
  const [tx, ty] = [x + dx * length, y + dy * length];
  const path = () => {
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(tx - dx * head * 0.6, ty - dy * head * 0.6);
    ctx.moveTo(tx - dx * head + dy * head * 0.62, ty - dy * head - dx * head * 0.62);
    ctx.lineTo(tx, ty);
    ctx.lineTo(tx - dx * head - dy * head * 0.62, ty - dy * head + dx * head * 0.62);
  };
  ctx.lineCap = "round";
  ctx.lineJoin = "round";
  ctx.strokeStyle = "#fff";
  ctx.lineWidth = weight + 3;
  path();
  ctx.stroke();
  ctx.strokeStyle = "#000";
  ctx.lineWidth = weight;
  path();
  ctx.stroke();
  ctx.lineCap = "butt";
}

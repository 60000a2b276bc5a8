/** Draws an image as its pixels, as large as fits, never smoothed. */

const buffer = document.createElement("canvas");

/**
 * Alone, in the middle.
 * @param {CanvasRenderingContext2D} ctx @param {number} width @param {number} height
 * @param {import("../logic/looks.js").Picture} image
 * @param {import("./theme.js").Tokens} tokens
 */
export function paintImage(ctx, width, height, image, tokens) {
  ctx.clearRect(0, 0, width, height);
  const fit = Math.min((width - 24) / image.width, (height - 24) / image.height);
  // Whole multiples keep pixels square to the last one.
  const scale = fit >= 1 ? Math.floor(fit) : fit;
  const [w, h] = [image.width * scale, image.height * scale];
  paintPixels(ctx, Math.round((width - w) / 2), Math.round((height - h) / 2), scale, image, image.values, tokens);
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y  of its corner
 * @param {number} scale  pixels of the page for one of the image
 * @param {import("../logic/looks.js").Shape} shape @param {ArrayLike<number>} values
 * @param {import("./theme.js").Tokens} tokens
 */
export function paintPixels(ctx, x, y, scale, shape, values, tokens) {
  const { channels } = shape;
  if (buffer.width !== shape.width || buffer.height !== shape.height) {
    buffer.width = shape.width;
    buffer.height = shape.height;
  }
  const inner = /** @type {CanvasRenderingContext2D} */ (buffer.getContext("2d"));
  const pixels = inner.createImageData(shape.width, shape.height);
  const { data } = pixels;
  for (let i = 0, p = 0; p < data.length; p += 4, i += channels) {
    data[p] = values[i];
    data[p + 1] = values[channels === 1 ? i : i + 1];
    data[p + 2] = values[channels === 1 ? i : i + 2];
    data[p + 3] = channels === 4 ? values[i + 3] : 255;
  }
  inner.putImageData(pixels, 0, 0);
  const [w, h] = [shape.width * scale, shape.height * scale];
  ctx.imageSmoothingEnabled = scale < 1;
  ctx.drawImage(buffer, x, y, w, h);
  ctx.strokeStyle = tokens.line;
  ctx.lineWidth = 1;
  ctx.strokeRect(x - 0.5, y - 0.5, w + 1, h + 1);
}

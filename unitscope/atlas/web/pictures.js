// Images: cut out of sheets, which are decoded when an image of theirs is looked at.

const KEPT = 48; // Decoded sheets; the one that was not needed for longest is forgotten.
const decoded = new Map();
const everythingRead = new Promise((done) => {
  if (document.readyState === "complete") done();
  else addEventListener("load", done);
});

async function sheet(number) {
  if (decoded.has(number)) {
    const found = decoded.get(number);
    decoded.delete(number);
    decoded.set(number, found);
    return found;
  }
  const found = decode(number);
  decoded.set(number, found);
  if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
  return found;
}

async function decode(number) {
  // Sheets stand at the end of the file, behind this script.
  if (byId(`sheet-${number}`) === null || document.readyState === "loading") await everythingRead;
  const text = atob(byId(`sheet-${number}`).textContent);
  const bytes = Uint8Array.from(text, (mark) => mark.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
  } finally {
    URL.revokeObjectURL(url);
  }
}

// An image of a place, by its number there, as an element that is filled as soon as its sheet is decoded.
function picture(place, number, words) {
  const [width, height] = place.size;
  const canvas = element("canvas", { role: "img", "aria-label": words, width, height });
  if (place.enlarged) canvas.classList.add("enlarged");
  const onSheet = number % place.perSheet;
  const left = (onSheet % place.columns) * place.cell[0];
  const top = Math.floor(onSheet / place.columns) * place.cell[1];
  sheet(place.sheet + Math.floor(number / place.perSheet)).then((image) => {
    canvas.getContext("2d").drawImage(image, left, top, width, height, 0, 0, width, height);
    canvas.dataset.drawn = "yes";
  });
  return canvas;
}

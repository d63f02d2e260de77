// Makes a photo smaller before it is sent: a telephone's picture is larger than it has to be, and the connection of a
// kitchen is slow. Without this script, or where it fails, the photo goes as it is. HEIC and PNG become JPEG here.
(() => {
  const EDGE = 2048;
  const SMALL = 1_500_000;
  const shrink = async (input) => {
    const file = input.files?.[0];
    if (!file || (file.type === "image/jpeg" && file.size <= SMALL)) return;
    const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, EDGE / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(picture.width * scale));
    canvas.height = Math.max(1, Math.round(picture.height * scale));
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
    if (!blob) return;
    const kept = new DataTransfer();
    kept.items.add(new File([blob], "photo.jpg", { type: "image/jpeg" }));
    input.files = kept.files;
  };
  for (const input of document.querySelectorAll('input[type="file"][name="picture"]')) {
    input.accept = "image/*";
    input.addEventListener("change", async () => {
      const button = input.form?.querySelector('button[type="submit"]');
      if (button) button.disabled = true;
      try {
        await shrink(input);
      } catch {
        // The browser cannot read it: the server says what is wrong with it.
      } finally {
        if (button) button.disabled = false;
      }
    });
  }
})();

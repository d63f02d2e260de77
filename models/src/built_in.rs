//! The models that are part of the program, so that it stays one file.

/// The cards of every model of this folder, also of those that are not part of the program.
pub(crate) const MANIFEST: &str = include_str!("../manifest.toml");

/// The file of this name, if it is part of the program.
pub(crate) fn file(name: &str) -> Option<&'static [u8]> {
    FILES
        .iter()
        .find(|(file, _)| *file == name)
        .map(|(_, bytes)| *bytes)
}

const FILES: [(&str, &[u8]); 6] = [
    (
        "embed_mobilenetv2_i8.onnx",
        include_bytes!("../embed_mobilenetv2_i8.onnx"),
    ),
    (
        "embed_mobilenetv2_w16.onnx",
        include_bytes!("../embed_mobilenetv2_w16.onnx"),
    ),
    (
        "face_blazeface_short_w16.onnx",
        include_bytes!("../face_blazeface_short_w16.onnx"),
    ),
    ("head_face_mask.onnx", include_bytes!("../head_face_mask.onnx")),
    (
        "person_nanodet_g_i8.onnx",
        include_bytes!("../person_nanodet_g_i8.onnx"),
    ),
    (
        "person_nanodet_g_w16.onnx",
        include_bytes!("../person_nanodet_g_w16.onnx"),
    ),
];

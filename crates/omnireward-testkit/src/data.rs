use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// The path of a file or folder of the real test data, or `None` after saying loudly that the
/// calling test is skipped.
///
/// The data are looked for in `$OMNIREWARD_TEST_DATA` and in `shared/data` beside the project's
/// root.
///
/// # Panics
///
/// When the data are present but this path is not among them: that is a mistake in the test.
pub fn real_data(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("OMNIREWARD_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    if !root.is_dir() {
        // Written past the capture of passing tests' output: a skipped test must be seen.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: real test data not found at {}; set OMNIREWARD_TEST_DATA to run this test",
            root.display()
        );
        return None;
    }
    let path = root.join(relative);
    assert!(
        path.exists(),
        "{} is missing from the test data",
        path.display()
    );
    Some(path)
}

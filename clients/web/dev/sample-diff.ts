import type { SessionDiff } from "../../protocol/src/generated.ts";

export const SAMPLE_DIFF: SessionDiff = {
  files: [
    {
      path: "src/parse.rs", old_path: null, status: "modified", additions: 5, deletions: 1,
      patch: "@@ -9,6 +9,9 @@ pub(crate) fn numeric_identifier(input: &str, pos: Position) -> Result<(u64, &str), Error> {\n         if digit < b'0' || digit > b'9' {\n             break;\n         }\n+        if value == 0 && len > 0 {\n+            return Err(Error::new(ErrorKind::LeadingZero(pos)));\n+        }\n         value = value\n             .checked_mul(10)\n             .and_then(|value| value.checked_add((digit - b'0') as u64))\n@@ -24,5 +27,6 @@ pub(crate) fn numeric_identifier\n         len += 1;\n     }\n \n-    Ok((value, &input[len..]))\n+    // A lone zero is a number, a zero before a digit is not.\n+    Ok((value, &input[len..]))\n }\n",
    },
    {
      path: "tests/test_leading_zero.rs", old_path: null, status: "added", additions: 5, deletions: 0,
      patch: "@@ -0,0 +1,5 @@\n+#[test]\n+fn test_leading_zero() {\n+    let err = version_err(\"01.2.3\");\n+    assert_to_string(err, \"invalid leading zero in major version number\");\n+}\n",
    },
    { path: "assets/logo.png", old_path: null, status: "modified", additions: 0, deletions: 0, patch: null },
  ],
  omitted: 0,
};

import { setDefaultTimeout } from "bun:test";

/** A test that waits for what never comes ends; one on a busy machine does not. */
setDefaultTimeout(30_000);

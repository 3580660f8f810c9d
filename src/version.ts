import { version } from "../package.json";

/** Ours, from package.json. */
export { version };

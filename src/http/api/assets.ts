import script from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import scriptLicenses from "swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt" with { type: "file" };
import license from "swagger-ui-dist/LICENSE" with { type: "file" };
import notice from "swagger-ui-dist/NOTICE" with { type: "file" };
import style from "swagger-ui-dist/swagger-ui.css" with { type: "file" };

/** Where the files of the API page are, in the executable or beside the source. */
export const assets = {
  script,
  style,
  licenses: [notice, license, scriptLicenses],
};

CREATE TABLE `journal_shares` (
	`share` text PRIMARY KEY NOT NULL,
	`within` text NOT NULL,
	`cost` integer NOT NULL,
	`gone` integer NOT NULL,
	`unsaid` integer NOT NULL,
	`since` integer NOT NULL
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `journal_shares_cost` ON `journal_shares` (`within`,`cost`);--> statement-breakpoint
DROP INDEX `journal_subject`;--> statement-breakpoint
CREATE INDEX `journal_blocks` ON `journal` ("seq" / 1024,`workspace`,`subject`);--> statement-breakpoint
CREATE INDEX `journal_kept_by` ON `journal` (`workspace`,coalesce("actor", "subject")) WHERE type <> 'tool_executed' AND type <> 'session_opened' AND type <> 'session_resumed' AND type <> 'session_ended' AND type <> 'tools_enabled' AND type <> 'catalog_changed';--> statement-breakpoint
INSERT INTO `journal_shares` SELECT `share`, '', 0, CAST(`value` AS INTEGER), CAST(`value` AS INTEGER), 0 FROM `meta`, (SELECT '["traffic"]' AS `share` UNION ALL SELECT '["kept"]') WHERE `key` = 'journal_pruned';--> statement-breakpoint
DELETE FROM `meta` WHERE `key` = 'journal_pruned';--> statement-breakpoint
DROP TRIGGER `journal_kept`;--> statement-breakpoint
CREATE TRIGGER `journal_kept` BEFORE DELETE ON `journal`
WHEN OLD.`seq` > coalesce((SELECT `gone` FROM `journal_shares` WHERE `share` = CASE WHEN OLD.`type` <> 'tool_executed' AND OLD.`type` <> 'session_opened' AND OLD.`type` <> 'session_resumed' AND OLD.`type` <> 'session_ended' AND OLD.`type` <> 'tools_enabled' AND OLD.`type` <> 'catalog_changed' THEN json_array('kept', OLD.`workspace`, coalesce(OLD.`actor`, OLD.`subject`)) ELSE json_array('traffic', OLD.`workspace`, OLD.`subject`) END), 0) BEGIN
	SELECT RAISE(ABORT, 'The journal is append-only.');
END;

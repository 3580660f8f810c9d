CREATE TABLE `journal` (
	`seq` integer PRIMARY KEY NOT NULL,
	`id` text DEFAULT (lower(hex(randomblob(16)))) NOT NULL,
	`at` integer NOT NULL,
	`type` text NOT NULL,
	`workspace` text NOT NULL,
	`subject` text,
	`method` text,
	`actor` text,
	`api_key` text,
	`request_id` text,
	`traceparent` text,
	`data` text NOT NULL
) STRICT;
--> statement-breakpoint
CREATE INDEX `journal_subject` ON `journal` (`workspace`,`subject`);--> statement-breakpoint
ALTER TABLE `calls` ADD `tool` text;--> statement-breakpoint
CREATE TRIGGER `journal_unchanged` BEFORE UPDATE ON `journal` BEGIN
	SELECT RAISE(ABORT, 'The journal is append-only.');
END;--> statement-breakpoint
CREATE TRIGGER `journal_kept` BEFORE DELETE ON `journal`
WHEN OLD.`seq` > coalesce((SELECT CAST(`value` AS INTEGER) FROM `meta` WHERE `key` = 'journal_pruned'), 0) BEGIN
	SELECT RAISE(ABORT, 'The journal is append-only.');
END;
--> statement-breakpoint
CREATE TRIGGER `journal_in_order` BEFORE INSERT ON `journal`
WHEN NEW.`seq` BETWEEN 0 AND (SELECT coalesce(max(`seq`), 0) FROM `journal`) BEGIN
	SELECT RAISE(ABORT, 'The journal is append-only.');
END;

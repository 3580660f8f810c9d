CREATE TABLE `deliveries` (
	`webhook` text NOT NULL,
	`seq` integer NOT NULL,
	`event` text NOT NULL,
	`type` text NOT NULL,
	`state` text NOT NULL,
	`replayed` integer NOT NULL,
	`attempts` integer NOT NULL,
	`claim` integer NOT NULL,
	`due_at` integer,
	`log` text NOT NULL,
	`created_at` integer NOT NULL,
	`finished_at` integer,
	PRIMARY KEY(`webhook`, `seq`),
	FOREIGN KEY (`webhook`) REFERENCES `webhooks`(`id`) ON UPDATE no action ON DELETE cascade
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `deliveries_open` ON `deliveries` (`webhook`,`due_at`) WHERE "deliveries"."due_at" IS NOT NULL;--> statement-breakpoint
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
CREATE TABLE `received` (
	`id` text PRIMARY KEY NOT NULL,
	`until` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE INDEX `received_until` ON `received` (`until`);--> statement-breakpoint
CREATE TABLE `webhooks` (
	`id` text PRIMARY KEY NOT NULL,
	`workspace` text NOT NULL,
	`url` text NOT NULL,
	`description` text,
	`types` text,
	`enabled` integer NOT NULL,
	`form` text NOT NULL,
	`concurrency` integer NOT NULL,
	`configured` integer NOT NULL,
	`sealed_secret` text,
	`sealed_previous` text,
	`previous_until` integer,
	`cursor` integer NOT NULL,
	`missed` integer NOT NULL,
	`failing_since` integer,
	`disabled_reason` text,
	`disabled_at` integer,
	`version` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`created_by` text
) STRICT;
--> statement-breakpoint
CREATE INDEX `webhooks_workspace` ON `webhooks` (`workspace`);--> statement-breakpoint
ALTER TABLE `api_keys` ADD `created_with` text;--> statement-breakpoint
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

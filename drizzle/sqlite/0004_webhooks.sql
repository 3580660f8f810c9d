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
CREATE INDEX `webhooks_workspace` ON `webhooks` (`workspace`);
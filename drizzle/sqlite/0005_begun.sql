CREATE TABLE `begun` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`if_cut` text NOT NULL
) STRICT;
--> statement-breakpoint
ALTER TABLE `calls` ADD `if_cut` text;--> statement-breakpoint
UPDATE `calls` SET `if_cut` = (SELECT json_object('type', 'tool_executed', 'workspace', `workspace`, 'subject', `subject`, 'data', json_object('tool', `calls`.`tool`, 'session', `id`, 'outcome', 'interrupted'), 'by', NULL, 'requestId', NULL, 'traceparent', NULL) FROM `sessions` WHERE `pk` = `calls`.`session_pk`) WHERE `tool` IS NOT NULL;--> statement-breakpoint
ALTER TABLE `calls` DROP COLUMN `tool`;
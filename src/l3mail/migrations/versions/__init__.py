"""The revisions, oldest first; until the first release there is one."""

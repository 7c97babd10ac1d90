-- A saga that ended in its own start kept a time to be woken at.
UPDATE saga SET wake_at = NULL WHERE state IN ('COMPLETED', 'COMPENSATED') AND wake_at IS NOT NULL;

-- The job or the batch that a request is to add. If it died before its answer was kept, that tells whether it had done so.
ALTER TABLE keys ADD COLUMN object INTEGER;

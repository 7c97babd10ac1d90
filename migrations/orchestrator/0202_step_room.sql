-- Each step's row is written a second time, with its outcome: half of a page is left for that, so that the second version
-- stands beside the first and touches no index.
ALTER TABLE step SET (fillfactor = 50);

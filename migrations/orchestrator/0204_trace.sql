-- The W3C traceparent with which the saga was started; NULL: none, and the trace has the saga's id.
ALTER TABLE saga ADD COLUMN traceparent text;

-- Spark's functions in DuckDB, each with the meaning Spark gives it without ANSI; held together by tests on both.

-- A quotient of twelve digits, HALF_UP; null by zero. Whole numbers carry it, since DuckDB divides as DOUBLE.
CREATE OR REPLACE MACRO spark_half_up(n, d) AS
  CASE WHEN (n < 0) = (d < 0) THEN 1 ELSE -1 END * ((2 * abs(n) + abs(d)) // nullif(2 * abs(d), 0));
CREATE OR REPLACE MACRO spark_micro(x) AS CAST(CAST(x AS DECIMAL(38, 6)) * 1000000 AS HUGEINT);
CREATE OR REPLACE MACRO spark_div(a, b) AS
  CAST(spark_half_up(spark_micro(a) * 1000000000000, spark_micro(b)) AS DECIMAL(38, 0)) * CAST('0.000000000001' AS DECIMAL(13, 12));

-- DuckDB multiplies decimals of up to 18 digits in 18 digits, which the value of a large holding does not fit.
CREATE OR REPLACE MACRO spark_product(a BIGINT, b BIGINT) AS a * b, (a, b) AS (a + CAST(0 AS DECIMAL(38, 0))) * b;

-- Spark cuts what DuckDB rounds.
CREATE OR REPLACE MACRO spark_whole(x) AS
  CASE WHEN typeof(x) = 'VARCHAR' AND NOT regexp_full_match(CAST(x AS VARCHAR), '\s*[+-]?(\d+\.?\d*|\.\d+)\s*') THEN NULL
       ELSE trunc(TRY_CAST(x AS DECIMAL(38, 10))) END;
CREATE OR REPLACE MACRO spark_whole_number(x) AS
  CASE WHEN typeof(x) = 'VARCHAR' AND NOT regexp_full_match(CAST(x AS VARCHAR), '\s*[+-]?\d+\s*') THEN NULL
       ELSE trunc(TRY_CAST(x AS DECIMAL(38, 10))) END;
CREATE OR REPLACE MACRO spark_floor(x) AS TRY_CAST(floor(x) AS BIGINT);
CREATE OR REPLACE MACRO spark_ceil(x) AS TRY_CAST(ceil(x) AS BIGINT);
CREATE OR REPLACE MACRO spark_text(x) AS
  CASE WHEN typeof(x) LIKE '%[]' THEN error('a list stands where a text is read') WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE' THEN regexp_replace(CAST(x AS VARCHAR), '[+-]\d\d(:\d\d)?$', '') ELSE CAST(x AS VARCHAR) END;

CREATE OR REPLACE MACRO spark_date_add(d, n) AS CAST(d AS DATE) + CAST(n AS INTEGER);
CREATE OR REPLACE MACRO spark_datediff(a, b) AS date_diff('day', CAST(b AS DATE), CAST(a AS DATE));
CREATE OR REPLACE MACRO spark_add_months(d, n) AS CAST(CAST(d AS DATE) + to_months(CAST(n AS INTEGER)) AS DATE);
CREATE OR REPLACE MACRO spark_trunc(d, unit) AS
  CAST(CASE lower(unit) WHEN 'mm' THEN date_trunc('month', d) WHEN 'mon' THEN date_trunc('month', d) WHEN 'month' THEN date_trunc('month', d)
       WHEN 'year' THEN date_trunc('year', d) WHEN 'yyyy' THEN date_trunc('year', d) WHEN 'yy' THEN date_trunc('year', d)
       WHEN 'quarter' THEN date_trunc('quarter', d) WHEN 'week' THEN date_trunc('week', d) END AS DATE);
CREATE OR REPLACE MACRO spark_clock(x) AS hour(x) * 3600 + minute(x) * 60 + second(x);
CREATE OR REPLACE MACRO spark_months_between(a, b) AS
  CAST((year(a) - year(b)) * 12 + month(a) - month(b) AS DECIMAL(18, 8))
  + CASE WHEN day(a) = day(b) OR (CAST(a AS DATE) = last_day(a) AND CAST(b AS DATE) = last_day(b)) THEN 0
         ELSE CAST(spark_div((day(a) - day(b)) * 86400 + spark_clock(a) - spark_clock(b), 31 * 86400) AS DECIMAL(18, 8)) END;

CREATE OR REPLACE MACRO spark_substring_index(t, sign, n) AS
  CASE WHEN t IS NOT NULL AND n IS NOT NULL AND sign = '' THEN ''
       WHEN n > 0 THEN array_to_string(list_slice(string_split(t, sign), 1, n), sign)
       WHEN n < 0 THEN array_to_string(list_slice(string_split(t, sign), greatest(len(string_split(t, sign)) + n + 1, 1), len(string_split(t, sign))), sign)
       WHEN t IS NULL THEN NULL ELSE '' END;
CREATE OR REPLACE MACRO spark_split_part(t, sign, n) AS
  CASE WHEN sign <> '' THEN split_part(t, sign, n) WHEN t IS NULL OR n IS NULL OR sign IS NULL THEN NULL WHEN abs(n) = 1 THEN t ELSE '' END;
CREATE OR REPLACE MACRO spark_find_in_set(t, texts) AS
  CASE WHEN t IS NULL OR texts IS NULL THEN NULL WHEN contains(t, ',') THEN 0 ELSE coalesce(list_position(string_split(texts, ','), t), 0) END;
CREATE OR REPLACE MACRO spark_size(a) AS coalesce(len(a), -1);
CREATE OR REPLACE MACRO spark_array_join(a, sign) AS
  CASE WHEN a IS NULL OR sign IS NULL THEN NULL ELSE coalesce(array_to_string(a, sign), '') END;
CREATE OR REPLACE MACRO spark_array_contains(a, x) AS
  CASE WHEN a IS NULL OR x IS NULL THEN NULL WHEN list_contains(a, x) THEN true WHEN len(list_filter(a, lambda _c: _c IS NULL)) > 0 THEN NULL ELSE false END;
CREATE OR REPLACE MACRO spark_is_null(x) AS x IS NULL;
CREATE OR REPLACE MACRO spark_is_not_null(x) AS x IS NOT NULL;
CREATE OR REPLACE MACRO spark_mod(a, b) AS a % nullif(b, 0);
CREATE OR REPLACE MACRO spark_pmod(a, b) AS
  CASE WHEN a % nullif(b, 0) < 0 THEN ((a % nullif(b, 0)) + b) % nullif(b, 0) ELSE a % nullif(b, 0) END;

CREATE OR REPLACE MACRO spark_make_date(y, m, d) AS
  TRY_CAST(lpad(CAST(y AS VARCHAR), 4, '0') || '-' || lpad(CAST(m AS VARCHAR), 2, '0') || '-' || lpad(CAST(d AS VARCHAR), 2, '0') AS DATE);
-- A date of a text: a year, a month, a day, and what may follow behind a space or a T.
CREATE OR REPLACE MACRO spark_date(x) AS
  CASE WHEN typeof(x) = 'VARCHAR' THEN
         CASE WHEN regexp_full_match(trim(CAST(x AS VARCHAR)), '\+?\d{4}(-\d{1,2}(-\d{1,2}([ T].*)?)?)?')
              THEN spark_make_date(regexp_extract(trim(CAST(x AS VARCHAR)), '\d{4}'),
                                   coalesce(nullif(regexp_extract(trim(CAST(x AS VARCHAR)), '^\+?\d{4}-(\d{1,2})', 1), ''), '1'),
                                   coalesce(nullif(regexp_extract(trim(CAST(x AS VARCHAR)), '^\+?\d{4}-\d{1,2}-(\d{1,2})', 1), ''), '1')) END
       ELSE TRY_CAST(x AS DATE) END;
CREATE OR REPLACE MACRO spark_dayofweek(d) AS dayofweek(d) + 1;
CREATE OR REPLACE MACRO spark_weekday(d) AS isodow(d) - 1;
CREATE OR REPLACE MACRO spark_next_day(d, name) AS
  CAST(d AS DATE) + CAST((CASE WHEN lower(name) IN ('mo', 'mon', 'monday', 'tu', 'tue', 'tuesday', 'we', 'wed', 'wednesday', 'th', 'thu', 'thursday',
                                                    'fr', 'fri', 'friday', 'sa', 'sat', 'saturday', 'su', 'sun', 'sunday')
                          THEN list_position(['mo', 'tu', 'we', 'th', 'fr', 'sa', 'su'], lower(left(name, 2))) END - isodow(d) + 6) % 7 + 1 AS INTEGER);
CREATE OR REPLACE MACRO spark_timestamp_micros(n) AS TIMESTAMPTZ '1970-01-01 00:00:00+00' + to_microseconds(CAST(n AS BIGINT));
CREATE OR REPLACE MACRO spark_timestamp_millis(n) AS spark_timestamp_micros(CAST(n AS HUGEINT) * 1000);
CREATE OR REPLACE MACRO spark_timestamp_seconds(n) AS spark_timestamp_micros(spark_micro(n));
-- Spark goes to the whole number below, also before 1970.
CREATE OR REPLACE MACRO spark_whole_below(x, unit) AS (x - ((x % unit) + unit) % unit) // unit;
CREATE OR REPLACE MACRO spark_unix_seconds(t) AS spark_whole_below(epoch_us(t), 1000000);
CREATE OR REPLACE MACRO spark_unix_millis(t) AS spark_whole_below(epoch_us(t), 1000);
CREATE OR REPLACE MACRO spark_truth(x) AS
  CASE WHEN typeof(x) = 'VARCHAR' THEN TRY_CAST(trim(CAST(x AS VARCHAR), ' ' || chr(9) || chr(10) || chr(13)) AS BOOLEAN)
       ELSE TRY_CAST(x AS BOOLEAN) END;

CREATE OR REPLACE MACRO spark_ascii(t) AS CASE WHEN t = '' THEN 0 ELSE ascii(t) END;
CREATE OR REPLACE MACRO spark_btrim(t) AS trim(t, ' ');
CREATE OR REPLACE MACRO spark_left(t, n) AS left(t, CASE WHEN n < 0 THEN 0 ELSE n END);
CREATE OR REPLACE MACRO spark_right(t, n) AS right(t, CASE WHEN n < 0 THEN 0 ELSE n END);
CREATE OR REPLACE MACRO spark_substring(t, place, n) AS
  substring(t, CASE WHEN place = 0 THEN 1 ELSE place END, CASE WHEN n < 0 THEN 0 ELSE n END);
CREATE OR REPLACE MACRO spark_substring_from(t, place) AS substring(t, CASE WHEN place = 0 THEN 1 ELSE place END);
CREATE OR REPLACE MACRO spark_json_array_length(j) AS
  CASE WHEN TRY(json_type(j)) = 'ARRAY' THEN TRY(json_array_length(j)) END;

CREATE OR REPLACE MACRO spark_get(a, place) AS CASE WHEN place < 0 THEN NULL ELSE a[place + 1] END;
CREATE OR REPLACE MACRO spark_has(a, x) AS len(list_filter(a, lambda _h: _h IS NOT DISTINCT FROM x)) > 0;
CREATE OR REPLACE MACRO spark_array_compact(a) AS list_filter(a, lambda _n: _n IS NOT NULL);
CREATE OR REPLACE MACRO spark_array_distinct(a) AS list_filter(a, lambda _d, _at: NOT spark_has(a[1:_at - 1], _d));
CREATE OR REPLACE MACRO spark_array_except(a, b) AS
  CASE WHEN b IS NULL THEN NULL ELSE list_filter(spark_array_distinct(a), lambda _x: NOT spark_has(b, _x)) END;
CREATE OR REPLACE MACRO spark_array_intersect(a, b) AS
  CASE WHEN b IS NULL THEN NULL ELSE list_filter(spark_array_distinct(a), lambda _x: spark_has(b, _x)) END;
CREATE OR REPLACE MACRO spark_array_union(a, b) AS
  CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE spark_array_distinct(list_concat(a, b)) END;
CREATE OR REPLACE MACRO spark_array_remove(a, x) AS CASE WHEN x IS NULL THEN NULL ELSE list_filter(a, lambda _r: _r IS NULL OR _r <> x) END;
CREATE OR REPLACE MACRO spark_array_position(a, x) AS
  CASE WHEN a IS NULL OR x IS NULL THEN NULL ELSE coalesce(list_position(a, x), 0) END;
CREATE OR REPLACE MACRO spark_arrays_overlap(a, b) AS
  CASE WHEN a IS NULL OR b IS NULL THEN NULL
       WHEN len(list_filter(a, lambda _o: _o IS NOT NULL AND list_contains(b, _o))) > 0 THEN true
       WHEN len(a) > 0 AND len(b) > 0 AND (spark_has(a, NULL) OR spark_has(b, NULL)) THEN NULL ELSE false END;
CREATE OR REPLACE MACRO spark_flatten(a) AS CASE WHEN spark_has(a, NULL) THEN NULL ELSE flatten(a) END;
CREATE OR REPLACE MACRO spark_slice(a, place, n) AS
  CASE WHEN place < 0 AND -place > len(a) THEN [] ELSE
  list_slice(a, CASE WHEN place < 0 THEN len(a) + place + 1 ELSE place END, CASE WHEN place < 0 THEN len(a) + place ELSE place - 1 END + n) END;
CREATE OR REPLACE MACRO spark_bucket(salt, person) AS
  CAST('0x' || substr(sha256(spark_text(salt) || '|' || spark_text(person)), 1, 15) AS BIGINT) % 10000;
CREATE OR REPLACE MACRO spark_conv(digits, from_base, to_base) AS
  CASE WHEN from_base = 16 AND to_base = 10 THEN CAST('0x' || digits AS BIGINT) ELSE error('conv() is known from 16 to 10 only') END;

// SPDX-License-Identifier: Apache-2.0
//
// Days are counted in years that begin in March, so that the leap day is the last of its year.
#include "cli/date.h"

#include <stdio.h>

enum { DAYS_TO_1970 = 719468, DAYS_400_YEARS = 146097 };

static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_400_YEARS + day_of_era - DAYS_TO_1970;
}

static void civil_of(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += DAYS_TO_1970;
    int64_t era = (days >= 0 ? days : days - (DAYS_400_YEARS - 1)) / DAYS_400_YEARS;
    int64_t day_of_era = days - era * DAYS_400_YEARS;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t m = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

void date_format(int64_t unix_ms, char out[DATE_TEXT_BYTES])
{
    int64_t year, month, day, days = unix_ms / 86400000, rest = unix_ms % 86400000;
    if (rest < 0) {
        days--;
        rest += 86400000;
    }
    civil_of(days, &year, &month, &day);
    if (year < 0 || year > 9999)
        snprintf(out, DATE_TEXT_BYTES, "%lld ms", (long long)unix_ms);
    else
        snprintf(out, DATE_TEXT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, (int)month, (int)day,
                 (int)(rest / 3600000), (int)(rest / 60000 % 60), (int)(rest / 1000 % 60), (int)(rest % 1000));
}

// Exactly n digits; moves past them.
static bool digits(const char **s, int n, int64_t low, int64_t high, int64_t *out)
{
    int64_t v = 0;
    for (; n > 0; n--, ++*s) {
        if (**s < '0' || **s > '9')
            return false;
        v = v * 10 + (**s - '0');
    }
    *out = v;
    return v >= low && v <= high;
}

static bool skip(const char **s, char c)
{
    if (**s != c)
        return false;
    ++*s;
    return true;
}

// hh:mm[:ss[.fraction]]
static bool time_of_day(const char **s, int64_t *ms)
{
    int64_t hour, minute, second = 0, scale = 100;
    if (!digits(s, 2, 0, 23, &hour) || !skip(s, ':') || !digits(s, 2, 0, 59, &minute))
        return false;
    if (skip(s, ':') && !digits(s, 2, 0, 59, &second))
        return false;
    *ms += (hour * 3600 + minute * 60 + second) * 1000;
    if (skip(s, '.'))
        for (; **s >= '0' && **s <= '9'; ++*s, scale /= 10)
            *ms += (**s - '0') * scale;
    return true;
}

static bool zone(const char **s, int64_t *ms)
{
    int64_t hour, minute, sign = **s == '-' ? 1 : -1;
    if (skip(s, 'Z') || skip(s, 'z') || **s == 0)
        return true;
    if (!skip(s, '+') && !skip(s, '-'))
        return false;
    if (!digits(s, 2, 0, 23, &hour))
        return false;
    skip(s, ':');
    if (!digits(s, 2, 0, 59, &minute))
        return false;
    *ms += sign * (hour * 60 + minute) * 60000;
    return true;
}

bool date_parse(const char *text, int64_t *unix_ms)
{
    static const int64_t month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day;
    const char *s = text;
    if (!digits(&s, 4, 1, 9999, &year) || !skip(&s, '-') || !digits(&s, 2, 1, 12, &month) || !skip(&s, '-') ||
        !digits(&s, 2, 1, month_days[month - 1], &day))
        return false;
    int64_t ms = days_of(year, month, day) * 86400000;
    if ((skip(&s, 'T') || skip(&s, 't') || skip(&s, ' ')) && !time_of_day(&s, &ms))
        return false;
    if (!zone(&s, &ms) || *s)
        return false;
    *unix_ms = ms;
    return true;
}

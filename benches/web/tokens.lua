-- For wrk: requests that carry the tokens of a file in turn, and a line of JSON at the end.

local requests, last = {}, 0

function init(arguments)
    for token in io.lines(arguments[1]) do
        local headers = { Authorization = "Bearer " .. token }
        requests[#requests + 1] = wrk.format("GET", nil, headers)
    end
end

function request()
    last = last % #requests + 1
    return requests[last]
end

function done(summary, latency)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format(
        '{"requests": %d, "microseconds": %d, "not_2xx": %d, "failed": %d, "p50": %d, "p99": %d}\n',
        summary.requests, summary.duration, errors.status, failed,
        latency:percentile(50), latency:percentile(99)
    ))
end

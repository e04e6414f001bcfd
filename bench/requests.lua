-- The requests that wrk sends, by BENCH_MODE: create, get, patch, pods (create Pods), target (cycle through BENCH_TARGETS, a file of paths).
-- At the end one line of JSON tells what was found.

local mode = os.getenv("BENCH_MODE")
local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"), ["Content-Type"] = "application/json", ["User-Agent"] = "bench/1" }
local patching = { ["Authorization"] = headers["Authorization"], ["Content-Type"] = "application/merge-patch+json", ["User-Agent"] = "bench/1" }
local maps = "/api/v1/namespaces/default/configmaps"
local prefix = os.getenv("BENCH_PREFIX") or "n"
local known = tonumber(os.getenv("BENCH_KNOWN") or "1000")
local value = string.rep("0123456789abcdef", 32)
local count = 0 -- wrk asks for one request that it never sends, so what it creates begins with 2
local targets = {}

if mode == "target" then
    for line in io.lines(os.getenv("BENCH_TARGETS")) do
        targets[#targets + 1] = line
    end
end

local make = {
    create = function()
        return wrk.format("POST", maps, headers, '{"metadata":{"name":"' .. prefix .. count .. '"},"data":{"value":"' .. value .. '"}}')
    end,
    get = function()
        return wrk.format("GET", maps .. "/" .. prefix .. (count % known + 2), headers)
    end,
    patch = function()
        return wrk.format("PATCH", maps .. "/" .. prefix .. (count % known + 2), patching, '{"data":{"other":"' .. count .. '"}}')
    end,
    pods = function()
        return wrk.format("POST", "/api/v1/namespaces/default/pods", headers,
            '{"metadata":{"name":"' .. prefix .. count .. '","labels":{"app":"bench"}},"spec":{"schedulerName":"nobody","containers":[{"name":"c","image":"i",' ..
            '"resources":{"requests":{"cpu":"10m","memory":"16Mi"}}},{"name":"d","image":"i","ports":[{"containerPort":80}],"env":[{"name":"A","value":"b"}]}]}}')
    end,
    target = function()
        return wrk.format("GET", targets[count % #targets + 1], headers)
    end,
}

function request()
    count = count + 1
    return make[mode]()
end

function done(summary, latency, requests)
    local errors = summary.errors
    print(string.format('{"requests":%d,"microseconds":%d,"failed":%d,"bytes":%d,"p50":%d,"p99":%d}', summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout, summary.bytes, latency:percentile(50), latency:percentile(99)))
end

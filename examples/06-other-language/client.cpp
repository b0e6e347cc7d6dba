// Plays an environment of `infra-gym serve`: C++17 and the system's sockets, nothing else.
//
//     g++ -std=c++17 -O2 -o client client.cpp
//     ./client 127.0.0.1 4040 SimpleK8sWebApp-v0 20
//
// A request is a line of JSON. After a "hello" every request has one reply, a line of JSON that ends
// with CR LF CR LF, and an error is a reply too.

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

class Connection {
 public:
  Connection(const std::string& host, const std::string& port) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0)
      throw std::runtime_error(host + " is no address");
    socket_ = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    const int refused = connect(socket_, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (refused != 0) throw std::runtime_error("no server there; start: infra-gym serve --target sim");
    ask(R"({"hello": {"version": 1}})");
  }
  ~Connection() { close(socket_); }

  // The reply to a request, as JSON text.
  std::string ask(const std::string& request) {
    const std::string line = request + "\r\n";
    for (std::size_t sent = 0; sent < line.size();) {
      const ssize_t count = send(socket_, line.data() + sent, line.size() - sent, 0);
      if (count <= 0) throw std::runtime_error("the server went away");
      sent += static_cast<std::size_t>(count);
    }
    std::size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      char chunk[4096];
      const ssize_t count = recv(socket_, chunk, sizeof chunk, 0);
      if (count <= 0) throw std::runtime_error("the server went away");
      buffer_.append(chunk, static_cast<std::size_t>(count));
    }
    std::string reply = buffer_.substr(0, end);
    buffer_.erase(0, end + 4);
    if (reply.find("\"error\"") == 1) throw std::runtime_error(reply);
    return reply;
  }

 private:
  int socket_;
  std::string buffer_;
};

// The text after "key": in a reply. Enough for the replies used here; a real client takes a JSON library.
static const char* after(const std::string& reply, const std::string& key) {
  const std::size_t at = reply.find("\"" + key + "\":");
  if (at == std::string::npos) throw std::runtime_error("no " + key + " in " + reply);
  return reply.c_str() + at + key.size() + 3;
}

static double number(const std::string& reply, const std::string& key) {
  return std::strtod(after(reply, key), nullptr);
}

static bool is_true(const std::string& reply, const std::string& key) {
  const char* value = after(reply, key);
  while (*value == ' ') ++value;
  return *value == 't';
}

static std::vector<double> numbers(const std::string& reply, const std::string& key) {
  std::vector<double> found;
  const char* at = after(reply, key);
  while (*at == ' ' || *at == '[') ++at;
  while (*at != ']' && *at != '\0') {
    char* end = nullptr;
    found.push_back(std::strtod(at, &end));
    if (end == at) throw std::runtime_error("no number in " + reply);
    for (at = end; *at == ',' || *at == ' ';) ++at;
  }
  return found;
}

// The rule: 0 is one replica fewer, 1 the same, 2 one more. Entries as in the environment's page.
static int act(const std::vector<double>& observation) {
  const double starting = observation[1], utilisation = observation[9];
  if (starting > 0) return 1;
  if (utilisation > 0.7) return 2;
  return utilisation < 0.4 ? 0 : 1;
}

int main(int count, char** words) try {
  if (count != 5) {
    std::fprintf(stderr, "usage: %s HOST PORT ID STEPS\n", words[0]);
    return 2;
  }
  Connection server(words[1], words[2]);
  server.ask(std::string(R"({"env": {"name": ")") + words[3] + "\"}}");
  server.ask(R"({"env": {"seed": "1"}})");
  std::string reply = server.ask(R"({"env": {"action": "reset"}})");
  double total = 0;
  for (int step = 1; step <= std::atoi(words[4]); ++step) {
    const int action = act(numbers(reply, "observation"));
    reply = server.ask("{\"step\": {\"action\": " + std::to_string(action) + "}}");
    const std::vector<double> seen = numbers(reply, "observation");
    total += number(reply, "reward");
    std::printf("%4d  action %d  replicas %2.0f  p95 %4.0f ms\n", step, action, seen[0], seen[6] * 1000);
    if (is_true(reply, "terminated") || is_true(reply, "truncated")) break;
  }
  server.ask(R"({"env": {"action": "close"}})");
  std::printf("reward of the episode: %.4f USD\n", total);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}

# An HTTP server on 127.0.0.1 in a child process: answers each request with the next of the given
# raw responses and records the requests. One connection per request, as in PVE.
package ScriptedServer;

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::SSL;
use JSON;

# The raw bytes of a response. $status is "CODE REASON"; $body is encoded as JSON unless it is a
# string; $length, if given, is sent as Content-Length instead of the actual length.
sub answer {
    my ($status, $body, $length) = @_;

    $body = ref($body) ? encode_json($body) : $body // '';
    $length //= length($body);
    return "HTTP/1.1 $status\r\nContent-Type: application/json\r\nContent-Length: $length\r\n"
        . "Connection: close\r\n\r\n$body";
}

# Answers the requests that $code->($url) makes; $url is the server's root. Returns
# With $tls, the options of IO::Socket::SSL for a server, it speaks HTTPS. Returns
# ($result, $error, @requests): the list that $code returned, what it died with or '', and each
# request as {method, path, headers, body, raw}, where body is the parsed JSON.
sub serve {
    my ($answers, $code, $tls) = @_;

    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5)
        or die "cannot listen: $@";
    pipe(my $reader, my $writer) or die "no pipe: $!";

    my $pid = fork() // die "no fork: $!";
    if (!$pid) {
        alarm(20);
        close($reader);
        for my $answer (@$answers) {
            my $connection = $listener->accept() or last;
            if ($tls) {
                IO::Socket::SSL->start_SSL($connection, SSL_server => 1, %$tls) or next;
            }
            syswrite($writer, encode_json(read_request($connection)) . "\n");
            print $connection $answer;
            close($connection);
        }
        close($writer);

        # not exit, which would run the END blocks of the test
        require POSIX;
        POSIX::_exit(0);
    }
    close($writer);

    my $url = ($tls ? 'https' : 'http') . "://127.0.0.1:" . $listener->sockport();
    close($listener);
    my $result = eval { [$code->($url)] };
    my $error = $@;
    kill('TERM', $pid);
    waitpid($pid, 0);
    my @requests = map { decode_json($_) } <$reader>;

    return ($result, $error, @requests);
}

sub read_request {
    my ($connection) = @_;

    my ($method, $path) = split(/ /, <$connection>);
    my %headers;
    while ((my $line = <$connection>) =~ m/^([^:]+):\s*(.*?)\r\n$/) {
        $headers{ lc($1) } = $2;
    }
    my $body = '';
    read($connection, $body, $headers{'content-length'} // 0);

    return {
        method => $method,
        path => $path,
        headers => \%headers,
        body => length($body) ? decode_json($body) : undef,
        raw => $body,
    };
}

1;

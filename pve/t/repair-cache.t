# pve-nautobot-repair-cache with a PVE::Network::SDN::Ipams that keeps its cache in a file, as PVE does.
use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin qw($Bin);
use lib "$Bin/lib";
use JSON;
use Test::More;

use Files qw(spew slurp);

my $dir = tempdir(CLEANUP => 1);
my $cache = "$dir/mac-cache.json";
my ($web, $db) = ('BC:24:11:00:00:01', 'bc:24:11:00:00:02');

# PVE's functions warn and return if they fail, as without quorum; only they write the file
my $ipams = <<'TEXT';
package PVE::Network::SDN::Ipams;
use JSON;

sub read_macdb {
    return {} if !$PVE::Cluster::updated;    # as if nobody had told it of the file
    open(my $in, '<', $ENV{MAC_CACHE}) or return {};
    return decode_json(join('', <$in>));
}

sub change {
    my ($mac, $code) = @_;
    my $db = read_macdb();
    return warn "no quorum!\n" if $ENV{NO_QUORUM};
    return if $ENV{IDLE};
    $code->($db->{macs}->{$mac} //= {});
    my $entry = $db->{macs}->{$mac};
    delete $db->{macs}->{$mac} if !defined($entry->{ip4}) && !defined($entry->{ip6});
    open(my $out, '>', $ENV{MAC_CACHE}) or die;
    print $out encode_json($db);
}

sub add_cache_mac_ip {
    my ($mac, $ip) = @_;
    change($mac, sub { $_[0]->{$ip =~ m/:/ ? 'ip6' : 'ip4'} = $ip });
}

sub del_cache_mac_ip {
    my ($mac, $ip) = @_;
    change($mac, sub { delete $_[0]->{$ip =~ m/:/ ? 'ip6' : 'ip4'} });
}

1;
TEXT

# (exit code, what it said of each entry, its messages)
sub repair {
    my (@asked) = @_;

    spew("$dir/asked", encode_json(\@asked));
    my $command = "$^X -I'$dir' '$Bin/../pve-nautobot-repair-cache' < '$dir/asked' 2> '$dir/err'";
    my $said = `$command`;
    my $code = $? >> 8;
    return ($code, $said ? decode_json($said) : undef, slurp("$dir/err"));
}

sub entry {
    my ($ip4, $ip6) = @_;

    return { ip4 => $ip4, ip6 => $ip6 };
}

spew("$dir/PVE/Cluster.pm", "package PVE::Cluster; sub cfs_update { our \$updated = 1 } 1;\n");
spew("$dir/PVE/Network/SDN/Ipams.pm", $ipams);
$ENV{MAC_CACHE} = $cache;
my %before = (
    $web => { ip4 => '10.0.0.100', ip6 => 'fd00:0::100' },
    $db => { ip4 => '10.0.0.101' },
);

sub start {
    spew($cache, encode_json({ macs => \%before }));
}

sub macs { return decode_json(slurp($cache))->{macs} }

subtest 'an address that is not in Nautobot, and one that the cache hides' => sub {
    start();
    my ($code, $said) = repair(
        {
            mac => $web,
            before => entry('10.0.0.100', 'fd00::100'),
            after => entry('10.0.0.102', 'fd00::100')
        },
        {
            mac => uc($db), before => entry('10.0.0.101', undef),
            after => entry(undef, 'fd00::101')
        },
    );
    is($code, 0, 'exit code');
    is_deeply($said, [{ mac => $web, why => undef }, { mac => uc($db), why => undef }], 'said');
    is_deeply(
        macs(),
        {
            $web => { ip4 => '10.0.0.102', ip6 => 'fd00:0::100' },
            $db => { ip6 => 'fd00::101' },
        },
        'changed under the key that PVE has'
    );
};

subtest 'an entry that has gone is one that is as it should be' => sub {
    start();
    my @asked = { mac => $web, before => entry('10.0.0.100', 'fd00::100'), after => entry() };
    is_deeply((repair(@asked))[1], [{ mac => $web, why => undef }], 'done');
    is_deeply(macs(), { $db => $before{$db} }, 'the entry is gone');
    is_deeply((repair(@asked))[1], [{ mac => $web, why => undef }], 'again');
    unlink($cache);
    is_deeply((repair(@asked))[1], [{ mac => $web, why => undef }], 'without a cache');
};

subtest 'an entry that has changed meanwhile is left, and the others are not' => sub {
    start();
    my ($code, $said) = repair(
        { mac => $web, before => entry('10.0.0.99', 'fd00::100'), after => entry() },
        { mac => $db, before => entry('10.0.0.101', undef), after => entry() },
    );
    is_deeply([map { $_->{why} } @$said], ['it has changed meanwhile', undef], 'said');
    is_deeply(macs(), { $web => $before{$web} }, 'left');
};

subtest 'a value that is no address' => sub {
    start();
    my (undef, $said) = repair({ mac => $web, before => entry('x', undef), after => entry() });
    like($said->[0]->{why}, qr/^ip4 'x' is not an IP address$/, 'said');
    is_deeply(macs(), \%before, 'unchanged');
};

subtest 'PVE fails, with and without saying so' => sub {
    start();
    my @asked = { mac => $db, before => entry('10.0.0.101', undef), after => entry() };
    {
        local $ENV{NO_QUORUM} = 1;
        is_deeply((repair(@asked))[1], [{ mac => $db, why => 'no quorum!' }], 'its warning');
    }
    local $ENV{IDLE} = 1;
    is_deeply(
        (repair(@asked))[1], [{ mac => $db, why => 'PVE did not change it' }],
        'no warning'
    );
};

subtest 'another release of PVE' => sub {
    start();
    spew("$dir/PVE/Network/SDN/Ipams.pm", $ipams =~ s/del_cache_mac_ip/forget_mac/r);
    my ($code, undef, $message) = repair();
    isnt($code, 0, 'exit code');
    like($message, qr/^PVE's Ipams\.pm of this release does not have/, 'message');
};

done_testing();
